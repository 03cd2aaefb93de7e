#!/usr/bin/env python3
"""Verifies an export of Chaperone's records. Written from docs/evidence.md alone, to prove that page; it shares nothing
with the `chaperone` program.

    verify.py EXPORT --public-key KEYS.json [--public-key …] [--tombstone-public-key KEYS.json …] [--checkpoint CHECKPOINT.json]

Prints what is wrong, one JSON object a line. Exit status: 0 nothing, 1 something, 2 it could not be checked.
Needs Python 3.9 and `cryptography`."""
import argparse, base64, hashlib, json, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ENTRY = {"recorder", "batch", "body"}  # and perhaps "signature"


def strict_json(text):
    def once(pairs):
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a name comes twice")
        return dict(pairs)
    return json.loads(text.decode("utf-8"), object_pairs_hook=once)


def base64url(text):
    """Without padding, and in the one way these bytes are encoded."""
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(data).decode().rstrip("=") != text:
        raise ValueError("not base64url")
    return data


def read_keys(paths):
    keys = {}
    for path in paths:
        for jwk in strict_json(open(path, "rb").read())["keys"]:
            canonical = '{"crv":"Ed25519","kty":"OKP","x":"%s"}' % jwk["x"]
            kid = base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).decode().rstrip("=")
            keys[kid] = Ed25519PublicKey.from_public_bytes(base64url(jwk["x"]))
    return keys


def signed(keys, header, body):
    try:
        protected, signature = header.split("..", 1)
        head = strict_json(base64url(protected))
        if head["alg"] != "EdDSA" or "crit" in head or "b64" in head:
            return False
        payload = base64.urlsafe_b64encode(body).rstrip(b"=")
        keys[head["kid"]].verify(base64url(signature), protected.encode() + b"." + payload)
        return True
    except (ValueError, KeyError, TypeError, AttributeError, InvalidSignature):
        return False


class Audit:
    def __init__(self, keys, tombstone_keys, manifest, heads):
        self.keys, self.tombstone_keys, self.heads, self.problems, self.batches = keys, tombstone_keys, heads, [], 0
        self.scope, self.waiting, self.chain = manifest["scope"], list(manifest["chains"]), None
        self.unseen = set(self.scope.get("exchanges", []))

    def problem(self, code, recorder=None, batch=None):
        self.problems.append({"code": code, "recorder": recorder, "batch": batch})

    def go_to(self, recorder):
        if self.chain and self.chain["recorder"] == recorder:
            return True
        if recorder is not None and all(chain["recorder"] != recorder for chain in self.waiting):
            return False
        while self.chain is None or self.chain["recorder"] != recorder:
            self.end_chain()
            if not self.waiting:
                break
            self.chain = dict(self.waiting.pop(0), seen=None)
            self.chain["next"] = 0 if self.scope["kind"] == "everything" else self.chain["first"]
            self.chain["previous"] = "0" * 64 if self.chain["next"] == 0 else None
        return True

    def tombstone(self, line, body):
        recorder, chain = line["recorder"], self.chain
        try:
            stone = strict_json(body)
            holds = signed(self.tombstone_keys, line["signature"], body) and stone["recorder"] == recorder
            holds = holds and stone["format"] == "chaperone-tombstone/1" and type(stone["first"]) is int and stone["first"] > 0
        except (ValueError, KeyError, TypeError):
            holds = False
        if not holds:
            if self.tombstone_keys or self.scope["kind"] == "everything":
                self.problem("tombstone", recorder)
            return
        last = stone["first"] - 1
        if stone["first"] >= chain["next"]:
            chain.update(next=stone["first"], previous=stone["previous"], seen=(last, stone["previous"]))
        head = self.heads.get(recorder)
        if head and head["batch"] == last and head["digest"] != stone["previous"]:
            self.problem("rewritten", recorder, last)

    def batch(self, line, body):
        recorder, number, chain, digest = line["recorder"], line["batch"], self.chain, hashlib.sha256(body).hexdigest()
        self.batches += 1
        if number < chain["next"]:
            return self.problem("order", recorder, number)
        if number > chain["next"]:
            self.problem("missing", recorder, chain["next"])
            chain["previous"] = None
        if not signed(self.keys, line.get("signature"), body):
            self.problem("signature", recorder, number)
        try:
            batch = strict_json(body)
            if (batch["recorder"], batch["batch"]) != (recorder, number):
                self.problem("place", recorder, number)
            if chain["previous"] not in (None, batch["previous"]):
                self.problem("previous", recorder, number)
            self.unseen -= {entry.get("exchange") for entry in batch["entries"]}
        except (ValueError, KeyError, TypeError, AttributeError):
            self.problem("shape", recorder, number)
        head = self.heads.get(recorder)
        if head and head["batch"] == number and head["digest"] != digest:
            self.problem("rewritten", recorder, number)
        chain.update(next=number + 1, previous=digest, seen=(number, digest))

    def end_chain(self):
        if self.chain is None:
            return
        recorder, (number, digest) = self.chain["recorder"], self.chain["seen"] or (None, None)
        head, last, reached = self.heads.pop(recorder, None), self.chain["last"], -1 if number is None else number
        if head and reached < head["batch"]:
            self.problem("truncated", recorder, number)
        if reached < last:
            self.problem("truncated", recorder, number)
        elif reached > last or self.chain.get("digest", digest) != digest:
            self.problem("rewritten", recorder, number)
        self.chain = None

    def finish(self):
        self.go_to(None)
        for recorder in self.heads:
            self.problem("removed", recorder)
        for _ in self.unseen:
            self.problem("exchange")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("export")
    parser.add_argument("--public-key", action="append", required=True)
    parser.add_argument("--tombstone-public-key", action="append", default=[])
    parser.add_argument("--checkpoint")
    arguments = parser.parse_args()
    keys, heads = read_keys(arguments.public_key), {}
    lines, digest, ended = open(arguments.export, "rb"), hashlib.sha256(), False
    first = next(lines, b"")
    manifest = strict_json(first)
    if manifest["type"] != "manifest" or manifest["format"] != "chaperone-evidence/1":
        raise ValueError("not an export")
    if arguments.checkpoint:
        if manifest["scope"]["kind"] != "everything":
            raise ValueError("a checkpoint can only be held against an export of everything")
        heads = {head["recorder"]: head for head in strict_json(open(arguments.checkpoint, "rb").read())["heads"]}
    audit = Audit(keys, read_keys(arguments.tombstone_public_key), manifest, heads)
    digest.update(first)
    for text in lines:
        try:
            line = strict_json(text)
            kind = line.pop("type")
            if ended:
                raise ValueError("something follows the end")
            if kind == "end":
                ended = True
                if line != {"sha256": digest.hexdigest()} or not text.endswith(b"\n"):
                    raise ValueError("the file was changed")
            elif kind == "tombstone" and set(line) == {"recorder", "signature", "body"}:
                body = base64.b64decode(line["body"], validate=True)
                if audit.chain and audit.chain["recorder"] == line["recorder"] or not audit.go_to(line["recorder"]):
                    raise ValueError("a tombstone stands before the batches of its chain")
                audit.tombstone(line, body)
            elif kind in ("batch", "fork") and set(line) - {"signature"} == ENTRY and type(line["batch"]) is int:
                body = base64.b64decode(line["body"], validate=True)
                if base64.b64encode(body).decode() != line["body"] or not audit.go_to(line["recorder"]):
                    raise ValueError("not base64, or no chain that can follow")
                audit.batch(line, body) if kind == "batch" else audit.problem("fork", line["recorder"], line["batch"])
            else:
                raise ValueError("not a line of an export")
        except (ValueError, KeyError, TypeError, AttributeError):
            audit.problem("bundle")
        digest.update(text)
    if not ended:
        audit.problem("bundle")
    audit.finish()
    for problem in audit.problems:
        print(json.dumps(problem))
    print(f"{audit.batches} batches, {len(audit.problems)} things wrong", file=sys.stderr)
    return 1 if audit.problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"could not check: {error}", file=sys.stderr)
        sys.exit(2)
