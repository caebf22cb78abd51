#!/usr/bin/env python3
"""Checks an Exhibit evidence package with python3 alone.

    python3 data/verify/verify.py [--log VKEY] [PACKAGE]

PACKAGE is the folder of the bag (default: the one this file is in). Checks that every file is as the manifests say, that
the leaves of data/population/events.ndjson are exactly the leaves of the log that the range proof claims, and, when the
log's verifier key is given (from a source other than the package!), the checkpoint's signature. Exits 0 when all hold.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import sys


def fail(message):
    print("FAIL", message)
    sys.exit(1)


def sha256(*parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def check_manifests(root):
    seen = {"tagmanifest-sha256.txt", "tagmanifest-sha256.txt.sig"}
    for manifest in ("tagmanifest-sha256.txt", "manifest-sha256.txt"):
        for line in (root / manifest).read_text().splitlines():
            digest, name = line.split("  ", 1)
            file = root / name
            if ".." in name.split("/") or name.startswith("/") or file.is_symlink() or not file.is_file():
                fail(f"{name}: missing, or no plain file")
            if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
                fail(f"{name}: altered")
            seen.add(name)
    for file in root.rglob("*"):
        if not file.is_dir() and file.relative_to(root).as_posix() not in seen:
            fail(f"{file.relative_to(root)}: in no manifest")
    print(f"PASS {len(seen)} files are as the manifests say")


def subtrees(begin, end):
    """(level, index) of the perfect aligned subtrees that cover the leaves [begin, end), left to right."""
    while begin < end:
        level = (end - begin).bit_length() - 1
        if begin:
            level = min(level, (begin & -begin).bit_length() - 1)
        yield level, begin >> level
        begin += 1 << level


def parse_range_proof(text):
    lines = text.split("\n")
    if lines[0] != "exhibit/range-proof@v1":
        fail("range.proof: unknown format")
    _, start, end = lines[1].split(" ")
    hashes, at = [], 2
    for side in ("left", "right"):
        word, count = lines[at].split(" ")
        if word != side:
            fail(f"range.proof: expected {side} in line {at + 1}")
        hashes.append([base64.b64decode(line, validate=True) for line in lines[at + 1 : at + 1 + int(count)]])
        at += 1 + int(count)
    if lines[at] != "":
        fail("range.proof: no blank line before the checkpoint")
    return int(start), int(end), hashes[0], hashes[1], "\n".join(lines[at + 1 :])


def push(stack, level, index, value):
    """Adds a subtree on the right and joins it with its left siblings."""
    while stack and index & 1 and stack[-1][0] == level and stack[-1][1] == index - 1:
        value = sha256(b"\x01", stack.pop()[2], value)
        level, index = level + 1, index >> 1
    stack.append((level, index, value))


def check_root(root):
    start, end, left, right, checkpoint = parse_range_proof((root / "data/proofs/range.proof").read_text())
    if checkpoint != (root / "data/proofs/checkpoint").read_text():
        fail("range.proof carries another checkpoint than data/proofs/checkpoint")
    origin, size, expected = checkpoint.split("\n")[:3]
    size, stack, count = int(size), [], 0
    places = list(subtrees(0, start))
    if len(places) != len(left) or len(list(subtrees(end, size))) != len(right):
        fail("range.proof: the numbers determine another count of hashes")
    for (level, index), value in zip(places, left):
        push(stack, level, index, value)
    with (root / "data/population/events.ndjson").open() as rows:
        for row in map(json.loads, rows):
            if row["leaf_index"] != start + count:
                fail(f"events.ndjson: leaf {start + count} is missing")
            leaf = base64.b64decode(row["leaf"], validate=True)
            push(stack, 0, start + count, sha256(b"\x00", leaf))
            count += 1
    if count != end - start:
        fail(f"events.ndjson: {count} leaves, the range has {end - start}")
    for (level, index), value in zip(subtrees(end, size), right):
        push(stack, level, index, value)
    while len(stack) > 1:
        _, _, value = stack.pop()
        level, index, before = stack.pop()
        stack.append((level, index, sha256(b"\x01", before, value)))
    computed = base64.b64encode(stack[0][2]).decode() if stack else ""
    if computed != expected:
        fail(f"the leaves give the root {computed}, the checkpoint has {expected}")
    print(f"PASS leaves {start} to {end - 1} are complete and in place under {origin}, {size} leaves, root {expected}")
    return checkpoint


# Ed25519 (RFC 8032), enough to verify one signature.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def recover_x(y, sign):
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def decode_point(data):
    number = int.from_bytes(data, "little")
    y, sign = number & ((1 << 255) - 1), number >> 255
    x = recover_x(y, sign) if y < P else None
    return None if x is None else (x, y, 1, x * y % P)


def add(a, b):
    m = (a[1] - a[0]) * (b[1] - b[0]) % P
    n = (a[1] + a[0]) * (b[1] + b[0]) % P
    t, z = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = n - m, z - t, z + t, n + m
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def is_signature(key, message, signature):
    base_y = 4 * pow(5, -1, P) % P
    base_x = recover_x(base_y, 0)
    point, nonce = decode_point(key), decode_point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if point is None or nonce is None or scalar >= ORDER or len(signature) != 64:
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    challenge = int.from_bytes(digest, "little") % ORDER
    one = multiply(scalar, (base_x, base_y, 1, base_x * base_y % P))
    two = add(nonce, multiply(challenge, point))
    return (one[0] * two[2] - two[0] * one[2]) % P == 0 and (one[1] * two[2] - two[1] * one[2]) % P == 0


def parse_vkey(vkey):
    try:
        name, key_id, key = vkey.split("+", 2)
        key = base64.b64decode(key, validate=True)
    except ValueError:
        fail(f"--log {vkey!r} is no verifier key: its form is NAME+ID+KEY, as in the trust file's `log` line")
    if len(key) != 33 or key[0] != 1 or sha256(name.encode(), b"\n", key)[:4].hex() != key_id:
        fail(f"--log {vkey!r} is no Ed25519 verifier key: its id does not fit its name and key")
    return name, key_id, key


def check_signature(checkpoint, vkey):
    name, key_id, key = parse_vkey(vkey)
    text, signatures = checkpoint.rsplit("\n\n", 1)
    for line in signatures.splitlines():
        _, signer, value = line.split(" ")
        value = base64.b64decode(value, validate=True)
        if signer == name and value[:4].hex() == key_id:
            if is_signature(key[1:], (text + "\n").encode(), value[4:]):
                print(f"PASS the checkpoint is signed by {name}")
                return
            fail("the checkpoint's signature does not verify")
    fail(f"the checkpoint is not signed by {name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", metavar="VKEY", help="verifier key of the log, from outside the package")
    parser.add_argument("package", nargs="?", default=pathlib.Path(__file__).resolve().parents[2], type=pathlib.Path)
    options = parser.parse_args()
    if options.log:
        parse_vkey(options.log)
    if not (options.package / "tagmanifest-sha256.txt").is_file():
        fail(f"{options.package} is no package: it has no tagmanifest-sha256.txt")
    check_manifests(options.package)
    checkpoint = check_root(options.package)
    if options.log:
        check_signature(checkpoint, options.log)
    else:
        print("NOT CHECKED the checkpoint's signature: give --log VKEY")


if __name__ == "__main__":
    main()
