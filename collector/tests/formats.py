"""Reads an export with its format's own schema or an independent reader; prints how many entries it found.

    formats.py har|ocsf|cloudevents FILE
"""

import json
import sys


def har(text):
    import haralyzer

    parser = haralyzer.HarParser(json.loads(text))
    assert parser.har_data["version"] == "1.2"
    entries = parser.har_data["entries"]
    for entry in entries:
        entry = haralyzer.HarEntry(entry)
        assert entry.startTime.tzinfo and entry.request.method and entry.request.url.startswith("https://")
        assert isinstance(entry.response.status, int) and entry.time >= 0
    return len(entries)


def ocsf(text):
    import jsonschema
    from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

    validators = {}
    lines = text.splitlines()
    for line in lines:
        event = json.loads(line)
        version = event["metadata"]["version"]
        if version not in validators:
            schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version)).get_class_schema("api_activity")
            validators[version] = jsonschema.Draft202012Validator(schema)
        for error in validators[version].iter_errors(event):
            raise AssertionError(f"{error.json_path}: {error.message}")
    return len(lines)


def cloudevents(text):
    from cloudevents.v1.http import from_json

    lines = text.splitlines()
    events = [from_json(line) for line in lines]
    assert len({(event["source"], event["id"]) for event in events}) == len(events), "an event twice"
    assert all(isinstance(event.data, dict) for event in events)
    return len(events)


if __name__ == "__main__":
    form, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        print({"har": har, "ocsf": ocsf, "cloudevents": cloudevents}[form](file.read()))
