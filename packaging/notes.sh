#!/usr/bin/env bash
# Prints the section of CHANGELOG.md for the version of Cargo.toml: packaging/notes.sh [TAG]
# A tag that is not that version, a version that the changelog does not know, and for a tag changes that are still under
# [Unreleased] are errors.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
if [ -n "${1:-}" ] && [ "$1" != "v$version" ]; then
  echo "packaging: the tag is $1, but Cargo.toml says $version" >&2
  exit 1
fi
# section NAME
section() { awk -v heading="## [$1]" 'index($0, heading) == 1 { on = 1; next } /^## \[/ { on = 0 } on' CHANGELOG.md; }
notes=$(section "$version")
if [ -z "${notes//[[:space:]]/}" ]; then
  echo "packaging: CHANGELOG.md has no section for $version" >&2
  exit 1
fi
unreleased=$(section Unreleased)
if [ -n "${1:-}" ] && [ -n "${unreleased//[[:space:]]/}" ]; then
  echo "packaging: CHANGELOG.md still has changes under [Unreleased]; move them to the section of the version" >&2
  exit 1
fi
echo "$notes"
