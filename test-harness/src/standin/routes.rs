//! From a request to its answer.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use hyper::body::Bytes;
use hyper::http::request::Parts;
use serde_json::{Value, json};

use super::admission::{complete, identify, may_become};
use super::discovery;
use super::negotiate::{Form, body_type, decode};
use super::patch::{Patch, manage};
use super::query::{Query, Selector};
use super::resource::{Resource, Target, resource};
use super::seed;
use super::status::{Failure, deleted};
use super::store::{Key, Store};
use super::table::shaped;
use super::watch::Watch;
use crate::container::{self, Ask};

/// What to send back.
pub(super) enum Answer {
    /// A document, in the encoding and shape the client asked for.
    Document(u16, Form, Value),
    /// A text of its own type.
    Text(&'static str, Bytes),
    /// Changes, as they happen.
    Watch(Watch),
    /// A text, then what a process prints, if there is one.
    Log(Bytes, Option<Vec<String>>),
    /// Another protocol on the connection.
    Upgrade(Ask),
}

/// A request about objects, taken apart.
struct Call<'a> {
    store: &'a Arc<Store>,
    target: Target,
    query: Query,
    raw_query: &'a str,
    form: Form,
    media_type: &'a str,
    body: &'a [u8],
    manager: String,
}

/// Answers one request.
pub(super) fn answer(store: &Arc<Store>, request: &Parts, body: &[u8]) -> Result<Answer, Failure> {
    let path = request.uri.path();
    let query = Query::of(&request.uri);
    if discovery::is_probe(path) {
        return Ok(Answer::Text("text/plain; charset=utf-8", Bytes::from_static(b"ok")));
    }
    if path == "/openapi/v2" && accepts_protobuf(request) {
        let media_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
        return Ok(Answer::Text(media_type, Bytes::from_static(discovery::OPENAPI_V2_PROTOBUF)));
    }
    let form = Form::choose(&request.headers, &query)?;
    if let Some(document) = discovery::document(path) {
        return match request.method {
            Method::GET => Ok(Answer::Document(200, form.whole(), document)),
            _ => Err(Failure::method_not_allowed()),
        };
    }
    let media_type = body_type(&request.headers);
    if let Some(review) = path.strip_prefix("/apis/").and_then(|path| path.split_once("/v1/")) {
        let known = review.0 == "authentication.k8s.io" || review.0 == "authorization.k8s.io";
        if known && request.method == Method::POST {
            return reviewed(review.1, decode(media_type, body)?)
                .map(|review| Answer::Document(201, form.whole(), review));
        }
    }
    let agent = request.headers.get(hyper::header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let agent = agent.and_then(|agent| agent.split('/').next()).unwrap_or("unknown");
    let manager = query.get("fieldManager").unwrap_or(agent).to_owned();
    let target = Target::parse(path).ok_or_else(Failure::no_such_path)?;
    let call = Call {
        store,
        target,
        query,
        raw_query: request.uri.query().unwrap_or_default(),
        form,
        media_type,
        body,
        manager,
    };
    call.dispatch(&request.method)
}

fn accepts_protobuf(request: &Parts) -> bool {
    let accept = request.headers.get(hyper::header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("protobuf"))
}

/// The answers of `authentication.k8s.io` and `authorization.k8s.io`: everybody is the same user and may do everything.
fn reviewed(plural: &str, mut review: Value) -> Result<Value, Failure> {
    review["status"] = match plural {
        "selfsubjectreviews" => {
            json!({"userInfo": {"username": "stand-in", "groups": ["system:masters", "system:authenticated"]}})
        }
        "selfsubjectaccessreviews" => json!({"allowed": true}),
        "tokenreviews" => json!({"user": {}, "error": "invalid bearer token"}),
        _ => return Err(Failure::no_such_path()),
    };
    Ok(review)
}

// === impl Call ===

impl Call<'_> {
    fn dispatch(self, method: &Method) -> Result<Answer, Failure> {
        let name = self.target.name.clone();
        let subresource = self.target.subresource.clone();
        let has_status = self.target.resource.has_status;
        match (method.as_str(), name, subresource.as_deref()) {
            ("GET", Some(name), Some("log")) if self.target.resource.kind == "Pod" => self.log(&name),
            ("GET" | "POST", Some(name), Some("exec" | "attach" | "portforward"))
                if self.target.resource.kind == "Pod" =>
            {
                self.connect(&name, subresource.as_deref().unwrap_or_default())
            }
            ("GET", Some(name), Some("status")) if has_status => self.get(&name),
            ("PUT", Some(name), Some("status")) if has_status => self.update(&name, true),
            ("PATCH", Some(name), Some("status")) if has_status => self.patch(&name, true),
            (_, _, Some(_)) => Err(Failure::no_such_path()),
            // A watch of one object is a list with `watch`; on the object's own path it is ignored.
            ("GET", None, None) if self.query.is_on("watch") => self.watch(),
            ("GET", None, None) => self.list(),
            ("GET", Some(name), None) => self.get(&name),
            ("POST", None, None) => self.create(),
            ("PUT", Some(name), None) => self.update(&name, false),
            ("PATCH", Some(name), None) => self.patch(&name, false),
            ("DELETE", Some(name), None) => self.delete(&name),
            ("DELETE", None, None) if self.target.resource.kind != "Namespace" => self.delete_collection(),
            _ => Err(Failure::method_not_allowed()),
        }
    }

    fn key(&self, name: &str) -> Key {
        Key::new(self.target.resource, &self.target.namespace, name)
    }

    fn document(&self, status: u16, document: Value) -> Answer {
        Answer::Document(status, self.form, shaped(self.form.shape, self.target.resource, document))
    }

    fn find(&self, name: &str) -> Result<Value, Failure> {
        let found = self.store.get(&self.key(name));
        found.ok_or_else(|| Failure::not_found(self.target.resource, name))
    }

    fn get(&self, name: &str) -> Result<Answer, Failure> {
        Ok(self.document(200, self.find(name)?))
    }

    fn log(&self, name: &str) -> Result<Answer, Failure> {
        let pod = self.find(name)?;
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        let names: Vec<&str> = containers.filter_map(|container| container["name"].as_str()).collect();
        if let Some(container) = self.query.get("container").filter(|container| !names.contains(container)) {
            return Err(Failure::bad_request(format!("container {container} is not valid for pod {name}")));
        }
        let lines: Vec<&str> = if name == "web" { seed::LOG.lines().collect() } else { Vec::new() };
        let last = self.query.number("tailLines").and_then(|lines| usize::try_from(lines).ok());
        let first = lines.len().saturating_sub(last.unwrap_or(lines.len()));
        let text: String = lines[first..].iter().map(|line| format!("{line}\n")).collect();
        let command = container::main_command(&pod).filter(|_| self.query.is_on("follow"));
        Ok(Answer::Log(Bytes::from(text), command))
    }

    fn connect(&self, name: &str, subresource: &str) -> Result<Answer, Failure> {
        let pod = self.find(name)?;
        Ok(Answer::Upgrade(match subresource {
            "exec" => Ask::exec(self.raw_query),
            "attach" => Ask::attach(self.raw_query, container::main_command(&pod).unwrap_or_default()),
            _ => Ask::forward(self.raw_query),
        }))
    }

    fn list(&self) -> Result<Answer, Failure> {
        let Target { resource, namespace, .. } = &self.target;
        let selector = Selector::of(&self.query)?;
        let (mut found, version) = self.store.list(resource, namespace);
        found.retain(|(_, object)| selector.matches(object));
        if let Some(token) = self.query.get("continue").filter(|token| !token.is_empty()) {
            let last = page_end(resource, token)?;
            found.retain(|(key, _)| *key > last);
        }
        let mut metadata = json!({"resourceVersion": version.to_string()});
        let limit = self.query.number("limit").and_then(|limit| usize::try_from(limit).ok());
        if let Some(limit) = limit.filter(|limit| *limit < found.len()) {
            metadata["remainingItemCount"] = json!(found.len() - limit);
            found.truncate(limit);
            let last = found.last().map(|(key, _)| format!("{}/{}", key.namespace, key.name));
            metadata["continue"] = json!(URL_SAFE_NO_PAD.encode(last.unwrap_or_default()));
        }
        let items = found.into_iter().map(|(_, object)| object).collect();
        Ok(self.document(200, listed(resource, metadata, items)))
    }

    fn watch(self) -> Result<Answer, Failure> {
        let selector = Selector::of(&self.query)?;
        let Target { resource, namespace, .. } = self.target;
        Ok(Answer::Watch(Watch::new(resource, namespace, selector, self.form.shape, &self.query)))
    }

    fn create(&self) -> Result<Answer, Failure> {
        let Target { resource, namespace, .. } = &self.target;
        let mut object = decode(self.media_type, self.body)?;
        let name = identify(resource, namespace, None, &mut object)?;
        self.created(&name, object, "Update").map(|object| self.document(201, object))
    }

    fn created(&self, name: &str, mut object: Value, operation: &str) -> Result<Value, Failure> {
        let Target { resource, namespace, .. } = &self.target;
        if resource.namespaced {
            let namespaces = self::resource("", "namespaces").expect("namespaces");
            let home = self.store.get(&Key::new(namespaces, "", namespace));
            home.ok_or_else(|| Failure::not_found(namespaces, namespace))?;
        }
        complete(resource, &mut object)?;
        let of = object.clone();
        manage(&mut object, &self.manager, operation, &of);
        tidy(&mut object);
        let created = self.store.create(resource, self.key(name), object, self.query.dry_run())?;
        if resource.kind == "Namespace" && !self.query.dry_run() {
            self.furnish(name);
        }
        Ok(created)
    }

    /// The service account every namespace gets from the controller manager.
    fn furnish(&self, namespace: &str) {
        let accounts = resource("", "serviceaccounts").expect("service accounts");
        let account = json!({
            "kind": accounts.kind, "apiVersion": accounts.api_version(),
            "metadata": {"name": "default", "namespace": namespace},
        });
        // Its name is free: deleting a namespace empties it.
        let _ = self.store.create(accounts, Key::new(accounts, namespace, "default"), account, false);
    }

    fn update(&self, name: &str, only_status: bool) -> Result<Answer, Failure> {
        let Target { resource, namespace, .. } = &self.target;
        let mut object = decode(self.media_type, self.body)?;
        identify(resource, namespace, Some(name), &mut object)?;
        let written = self.store.update(resource, self.key(name), self.query.dry_run(), |old| {
            self.successor(old, object, only_status, "Update", None)
        })?;
        Ok(self.document(200, written))
    }

    fn patch(&self, name: &str, only_status: bool) -> Result<Answer, Failure> {
        let Target { resource, namespace, .. } = &self.target;
        let patch = Patch::parse(self.media_type, self.body)?;
        if let Patch::Apply(applied) = &patch {
            if self.query.get("fieldManager").is_none() {
                return Err(Failure::bad_request(
                    "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
                ));
            }
            let mut applied = applied.clone();
            identify(resource, namespace, Some(name), &mut applied)?;
            if self.store.get(&self.key(name)).is_none() {
                return self.created(name, applied, "Apply").map(|object| self.document(201, object));
            }
        }
        let written = self.store.update(resource, self.key(name), self.query.dry_run(), |old| {
            let mut patched = patch.apply_to(old, &self.manager)?;
            identify(resource, namespace, Some(name), &mut patched)?;
            let (operation, applied) = match &patch {
                Patch::Apply(applied) => ("Apply", Some(applied)),
                _ => ("Update", None),
            };
            self.successor(old, patched, only_status, operation, applied)
        })?;
        Ok(self.document(200, written))
    }

    /// The object that may follow the stored one, if it may.
    fn successor(
        &self,
        old: &Value,
        mut object: Value,
        only_status: bool,
        operation: &str,
        applied: Option<&Value>,
    ) -> Result<Value, Failure> {
        let resource = self.target.resource;
        if only_status {
            let status = object["status"].take();
            let version = object["metadata"]["resourceVersion"].take();
            object = old.clone();
            object["status"] = status;
            object["metadata"]["resourceVersion"] = version;
        } else if resource.has_status && old.get("status").is_some() {
            object["status"] = old["status"].clone();
        }
        if resource.kind == "Secret" && object["type"].is_null() {
            object["type"] = old["type"].clone();
        }
        complete(resource, &mut object)?;
        may_become(resource, old, &object)?;
        object["metadata"]["managedFields"] = old["metadata"]["managedFields"].clone();
        object["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
        tidy(&mut object);
        // Who changes nothing manages nothing new, except by applying it.
        if applied.is_some() || object != *old {
            let of = applied.cloned().unwrap_or_else(|| changed(old, &object));
            manage(&mut object, &self.manager, operation, &of);
        }
        Ok(object)
    }

    /// Whether a deletion is only tried: with a body, the query's options do not count.
    fn tries_deletion(&self) -> Result<bool, Failure> {
        if self.body.is_empty() {
            return Ok(self.query.dry_run());
        }
        let options = decode(self.media_type, self.body)?;
        Ok(options["dryRun"].as_array().is_some_and(|stages| stages.iter().any(|stage| stage == "All")))
    }

    fn delete(&self, name: &str) -> Result<Answer, Failure> {
        let resource = self.target.resource;
        let gone = self.store.delete(resource, &self.key(name), self.tries_deletion()?)?;
        // What has a life of its own is answered as it was; the rest with a Status.
        let answer = if matches!(resource.kind, "Pod" | "Namespace" | "ServiceAccount") {
            gone
        } else {
            deleted(resource, &gone)
        };
        Ok(self.document(200, answer))
    }

    fn delete_collection(&self) -> Result<Answer, Failure> {
        let Target { resource, namespace, .. } = &self.target;
        let selector = Selector::of(&self.query)?;
        let dry_run = self.tries_deletion()?;
        let (found, _) = self.store.list(resource, namespace);
        let chosen = found.into_iter().filter(|(_, object)| selector.matches(object));
        let gone = chosen
            .map(|(key, _)| self.store.delete(resource, &key, dry_run))
            .collect::<Result<Vec<_>, _>>()?;
        let (_, version) = self.store.list(resource, namespace);
        let metadata = json!({"resourceVersion": version.to_string()});
        Ok(self.document(200, listed(resource, metadata, gone)))
    }
}

/// A list as the API server writes it: its items do not repeat their kind.
fn listed(resource: &Resource, metadata: Value, mut items: Vec<Value>) -> Value {
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        item.remove("kind");
        item.remove("apiVersion");
    }
    json!({
        "kind": format!("{}List", resource.kind), "apiVersion": resource.api_version(),
        "metadata": metadata, "items": items,
    })
}

fn page_end(resource: &'static Resource, token: &str) -> Result<Key, Failure> {
    let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|text| String::from_utf8(text).ok());
    let (namespace, name) = text
        .as_deref()
        .and_then(|text| text.split_once('/'))
        .ok_or_else(|| Failure::bad_request("continue key is not valid"))?;
    Ok(Key::new(resource, namespace, name))
}

/// The fields of the new object that the old one has not, or has otherwise.
fn changed(old: &Value, new: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return new.clone() };
    let differing = new.iter().filter(|(key, value)| old.get(*key) != Some(*value));
    let pairs =
        differing.map(|(key, value)| (key.clone(), changed(old.get(key).unwrap_or(&Value::Null), value)));
    Value::Object(pairs.collect())
}

/// Drops nulls and empty maps at the top and in the metadata: the API server omits what is empty.
fn tidy(object: &mut Value) {
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    let empty = |value: &Value| value.is_null() || value.as_object().is_some_and(|map| map.is_empty());
    if let Some(metadata) = metadata {
        metadata.retain(|_, value| !empty(value));
    }
    if let Some(object) = object.as_object_mut() {
        object.retain(|key, value| !(value.is_null() || key == "data" && empty(value)));
    }
}
