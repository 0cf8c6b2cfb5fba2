"""validate.py CRDS PATH...: see `validate`."""

import os
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

VERSION = os.environ.get("KUBERNETES_VERSION") or kubernetes_validate.latest_version()


def documents(path):
    for file in sorted(path.glob("*.yaml")) if path.is_dir() else [path]:
        for document in yaml.safe_load_all(file.read_text()):
            if document:
                yield file, document


def strict(schema):
    """What a server takes with `kubectl apply --validate=strict`: no field beside those that are named."""
    schema = dict(schema)
    if schema.pop("x-kubernetes-int-or-string", False):
        schema.pop("type", None)
        schema["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if "properties" in schema:
        schema["properties"] = {name: strict(it) for name, it in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
    for of in ("items", "additionalProperties"):
        if isinstance(schema.get(of), dict):
            schema[of] = strict(schema[of])
    return schema


def definitions(crd):
    """The schemas of a CustomResourceDefinition, by apiVersion and kind."""
    spec = crd["spec"]
    for version in spec["versions"]:
        schema = strict(version["schema"]["openAPIV3Schema"])
        # These three are the server's, whatever the definition says of them.
        schema.setdefault("properties", {}).update(apiVersion={}, kind={}, metadata={"type": "object"})
        yield (f"{spec['group']}/{version['name']}", spec["names"]["kind"]), schema


def main():
    given = [it for path in sys.argv[2:] for it in documents(pathlib.Path(path))]
    known = {}
    for _, document in [*documents(pathlib.Path(sys.argv[1])), *given]:
        if document["kind"] == "CustomResourceDefinition":
            known.update(definitions(document))
    wrong = 0
    for file, document in given:
        name = (document.get("apiVersion"), document.get("kind"))
        try:
            if name in known:
                jsonschema.validate(document, known[name])
            else:
                kubernetes_validate.validate(document, VERSION, strict=True)
        except jsonschema.ValidationError as error:
            wrong += 1
            at = ".".join(str(it) for it in error.absolute_path) or "top"
            print(f"{file}: {name[1]}: {at}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError:
            wrong += 1
            print(f"{file}: {name[0]} {name[1]}: nobody defines it")
    if wrong or not given:
        sys.exit(f"{wrong} of {len(given)} documents are wrong")
    print(f"{len(given)} documents are right, by Kubernetes {VERSION} and {len(known)} custom resources")


main()
