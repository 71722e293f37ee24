"""Ways to damage the folder of a run."""

import json
import os
import shutil


def _delete(path, random):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _empty(path, random):
    path.write_bytes(b"")


def _truncate(path, random):
    whole = path.read_bytes()
    path.write_bytes(whole[: random.randrange(len(whole) + 1)])


def _flip(path, random):
    whole = bytearray(path.read_bytes())
    for _ in range(random.choice([1, 1, 3, 100])):
        if whole:
            whole[random.randrange(len(whole))] ^= 1 << random.randrange(8)
    path.write_bytes(whole)


def _garbage(path, random):
    path.write_bytes(random.randbytes(random.choice([1, 10, 1000])))


def _not_utf8(path, random):
    whole = path.read_bytes()
    place = random.randrange(len(whole) + 1)
    path.write_bytes(whole[:place] + b"\xff\xfe\xfa" + whole[place:])


def _folder(path, random):
    _delete(path, random)
    path.mkdir()


def _pipe(path, random):
    _delete(path, random)
    os.mkfifo(path)


def _dangling(path, random):
    _delete(path, random)
    path.symlink_to(path.with_name("nowhere"))


def _deep(path, random):
    brackets = random.choice(["[]", "{}"])
    text = "[" * 900 + "]" * 900 if brackets == "[]" else '{"a": ' * 900 + "1" + "}" * 900
    path.write_text(text)


def _number(path, random):
    path.write_text(random.choice(["3", "null", '"text"', "[]", "{}", "1e400", "9" * 5000]))


def _value(path, random):
    """Another value somewhere in a JSON file."""
    try:
        tree = json.loads(path.read_text())
    except (ValueError, OSError, RecursionError):
        return _garbage(path, random)
    at = tree
    while isinstance(at, dict | list) and at:
        key = random.choice(list(at) if isinstance(at, dict) else range(len(at)))
        if not isinstance(at[key], dict | list) or not at[key] or random.random() < 0.3:
            if random.random() < 0.4:
                del at[key]
            else:
                at[key] = random.choice([None, True, -1, 0, 10**30, 1.5, "text", [], {}, [1, 2], {"a": 1}, "nan"])
            break
        at = at[key]
    path.write_text(json.dumps(tree))


DAMAGES = {
    function.__name__.strip("_"): function
    for function in (
        _delete,
        _empty,
        _truncate,
        _flip,
        _garbage,
        _not_utf8,
        _folder,
        _pipe,
        _dangling,
        _deep,
        _number,
        _value,
    )
}
"""Each takes the path of a file and a `random.Random`."""


def places(folder):
    """Files that may be damaged, the small ones that a run depends on first and more often."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    top = [path for path in files if path.parent == folder]
    metadata = [path for path in files if path.name == "zarr.json"]
    data = [path for path in files if path not in top and path not in metadata]
    return top * 4 + [path for path in metadata if path.parent.name == "record.zarr"] * 4 + metadata + data


def damage(folder, random):
    """Damages one place, sometimes two; what was done, as text."""
    done = []
    for _ in range(random.choice([1, 1, 1, 2])):
        path = random.choice(places(folder))
        if random.random() < 0.1 and path.parent != folder:
            path = path.parent
            name = random.choice(["delete", "folder", "pipe", "dangling"])
        else:
            name = random.choice(sorted(DAMAGES))
        DAMAGES[name](path, random)
        done.append(f"{name} {path.relative_to(folder)}")
    return ", ".join(done)
