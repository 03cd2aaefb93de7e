-- Masks Secrets by pattern and posts what it saw. It knows no JSON: a value that holds a brace, a Secret in a list of
-- other things, protobuf and watches are beyond it. Its records are neither signed nor kept when the post fails.
local function mask(data)
  return '"data":' .. data:gsub(':"[^"]*"', ':"[masked]"')
end

function envoy_on_request(request)
  local headers = request:headers()
  local metadata = request:streamInfo():dynamicMetadata()
  metadata:set("record", "method", headers:get(":method"))
  metadata:set("record", "path", headers:get(":path"))
  metadata:set("record", "agent", headers:get("user-agent"))
  if headers:get(":method") ~= "GET" then
    local body = request:body()
    if body then
      -- What was taken before the wait for the body is no longer valid.
      request:streamInfo():dynamicMetadata():set("record", "request", body:getBytes(0, body:length()))
    end
  end
end

function envoy_on_response(response)
  local info = response:streamInfo()
  local record = info:dynamicMetadata():get("record")
  local payload = info:dynamicMetadata():get("envoy.filters.http.jwt_authn")
  local seen = {}
  if record["path"]:find("watch=1", 1, true) then
    for chunk in response:bodyChunks() do
      seen[#seen + 1] = chunk:getBytes(0, chunk:length())
    end
  else
    local body = response:body(true)
    local text = body:getBytes(0, body:length())
    if record["path"]:find("/secrets", 1, true) then
      text = text:gsub('"data":(%b{})', mask)
      response:headers():replace("content-length", tostring(body:setBytes(text)))
    end
    seen[1] = text
  end
  response:httpCall(
    "sink",
    { [":method"] = "POST", [":path"] = "SINK", [":authority"] = "sink", ["content-type"] = "application/json" },
    string.format(
      '{"time":%d,"user":"%s","method":"%s","path":"%s","agent":"%s","status":%s,"request":%s,"response":%s}',
      response:timestamp(), payload and payload["payload"]["sub"] or "", record["method"], record["path"],
      record["agent"] or "", response:headers():get(":status"), record["request"] or "null", table.concat(seen)),
    2000,
    true)
end
