#!/usr/bin/env bash
# Builds every package of this platform and checks it, and checks the workflows and the shell scripts. As root on Debian
# or Ubuntu it installs what is missing (apt, PyPI, crates.io).
#
#   packaging/check.sh            all; everything is compiled twice, to compare it
#   packaging/check.sh once       the same, compiled once
#   packaging/check.sh built      the same with what is in dist/ already
#   packaging/check.sh static     only what needs no build: scripts, Dockerfile, WinGet, Homebrew, workflows
#
# A check is skipped where its tool can't be had, and the end says so. With JMO_TELEMETRY_REQUIRE_ALL=1 that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-all}
case $what in
  all | once | built | static) ;;
  *)
    echo "packaging/check.sh: there is no $what; it is all, once, built or static" >&2
    exit 2
    ;;
esac
# They disable what is checked here.
unset CI GITHUB_ACTIONS GITLAB_CI JENKINS_URL BUILD_ID CIRCLECI TRAVIS TF_BUILD BITBUCKET_PIPELINE_UUID DO_NOT_TRACK \
  JMO_TELEMETRY_DISABLE
tools=$PWD/target/packaging-tools
checks=0
skipped=()

say() { echo "packaging: $*"; }
pass() { checks=$((checks + 1)); say "ok: $* ($SECONDS s)"; }
fail() { say "FAILED: $*" >&2; exit 1; }

# can CHECK COMMAND…: whether a check has its commands. Without one it is skipped.
can() {
  local check=$1 command
  shift
  for command; do
    command -v "$command" >/dev/null || { skip "$check" "$command"; return 1; }
  done
}

# skip CHECK TOOL
skip() {
  [ "${JMO_TELEMETRY_REQUIRE_ALL:-}" != 1 ] || fail "$1: $2 can't be had"
  say "skipped: $1 (needs $2)"
  skipped+=("$1")
}

finish() {
  if [ "${#skipped[@]}" = 0 ]; then
    say "all $checks checks passed"
  else
    say "$checks checks passed, but these were skipped: $(printf '%s, ' "${skipped[@]}" | sed 's/, $//')"
  fi
  exit
}

# What can't be installed is missed, and told, by the check that needs it.
wanted=(ruby:ruby)
[ "$what" = static ] || wanted+=(lintian:lintian buildah:buildah dpkg-deb:dpkg mandoc:mandoc)
missing=()
for pair in "${wanted[@]}"; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
apt_install() { DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null; }
if [ "${#missing[@]}" -gt 0 ]; then
  apt-get update -qq || true
  apt_install "${missing[@]}" || for package in "${missing[@]}"; do apt_install "$package" || true; done
fi
[ -x "$tools/bin/pip" ] || python3 -m venv "$tools" || true
pip_install() { "$tools/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip_install -r packaging/requirements.txt ||
  while read -r package; do pip_install "$package" || true; done <packaging/requirements.txt
export PATH="$tools/bin:$PATH"

# What needs no build.
if can "shell scripts" shellcheck; then
  git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck || fail "shellcheck"
  pass "shell scripts: shellcheck"
fi
if can "Dockerfile" hadolint; then
  hadolint packaging/docker/Dockerfile || fail "hadolint"
  pass "Dockerfile: hadolint"
fi
UNBUILT=1 packaging/build.sh manifests
if can "syntax of the Homebrew formula" ruby; then
  ruby -c dist/homebrew/jmo-telemetry.rb >/dev/null || fail "the Homebrew formula is no Ruby"
  pass "Homebrew: syntax"
fi
# A link would be no licence in a checkout on Windows, nor in a wheel that is built there.
cmp -s LICENSE python/LICENSE.txt || fail "python/LICENSE.txt is not LICENSE"
[ ! -L python/LICENSE.txt ] || fail "python/LICENSE.txt is a link"
pass "the Python package has the licence"
if can "WinGet manifests" check-jsonschema; then
  check-jsonschema --quiet --schemafile packaging/winget/schema.json dist/winget/*.yaml || fail "WinGet manifests"
  pass "WinGet: the manifests fit their schema"
fi
if grep -rn "@VERSION@\|@SHA256\|@DATE@" dist/homebrew dist/winget; then fail "a placeholder is left"; fi
if can "workflows" check-jsonschema actionlint zizmor; then
  check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml || fail "workflow schema"
  actionlint .github/workflows/*.yml || fail "actionlint"
  zizmor --offline --quiet --no-progress --persona pedantic .github/workflows || fail "zizmor"
  pass "workflows: schema, actionlint, zizmor"
fi
# A job may name only what is in the repository.
grep -oEh '(packaging|python|tests)/[a-z-]+\.sh' .github/workflows/*.yml | sort -u >dist/scripts
while read -r script; do
  [ -f "$script" ] || fail "a workflow names $script, which is missing"
done <dist/scripts
rm dist/scripts
pass "workflows: every script is there"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# The notes of a release, with a changelog made up for it.
mkdir -p "$root/notes/packaging"
cp packaging/notes.sh "$root/notes/packaging"
echo 'version = "1.2.3"' >"$root/notes/Cargo.toml"
notes() {
  printf '%s\n' '## [Unreleased]' "$1" '## [1.2.3] - 2026-01-31' '- Faster.' '## [1.2.2]' '- Slower.' >"$root/notes/CHANGELOG.md"
  "$root/notes/packaging/notes.sh" "$2" 2>"$root/notes/error"
}
[ "$(notes '' v1.2.3)" = "- Faster." ] || fail "the notes of a release are not the section of its version"
if notes '' v1.2.4 || notes '' v1.2.2; then fail "a tag of another version has notes"; fi
if notes '- Later.' v1.2.3; then fail "a tag has notes while changes belong to no version"; fi
pass "release notes: those of the version, and no change is left out"
if [ "$what" = static ]; then finish; fi

# Which packages this machine can build and check; the archive and the crate need nothing more than the program does.
parts=(archive crate manifests)
has() { [[ " ${parts[*]} " == *" $1 "* ]]; }
python_tools=$PWD/target/python-tools
[ -x "$python_tools/bin/pip" ] || python3 -m venv "$python_tools" || true
[ -x "$python_tools/bin/maturin" ] ||
  "$python_tools/bin/pip" install --quiet --disable-pip-version-check -r python/requirements-dev.txt || true
export PATH="$python_tools/bin:$PATH"
if can "wheel and sdist" maturin twine wheel; then parts+=(wheel sdist); fi
command -v cargo-deb >/dev/null || cargo install --locked --quiet cargo-deb@3.8.0 || true
if can "Debian package" cargo-deb dpkg-deb lintian; then parts+=(deb); fi
storage=(--storage-driver vfs --root "$root/storage" --runroot "$root/run")
# Whether buildah runs anything at all here, tried with a program that does nothing.
buildah_works() {
  local container
  cc -static -x c -o "$root/nothing" - <<<'int main(void) { return 0; }' &&
    container=$(buildah "${storage[@]}" from scratch) &&
    buildah "${storage[@]}" copy --quiet "$container" "$root/nothing" /nothing >/dev/null &&
    buildah "${storage[@]}" run --isolation chroot "$container" -- /nothing &&
    buildah "${storage[@]}" rm "$container" >/dev/null
}
if can "container image" buildah; then
  if buildah_works; then parts+=(image); else skip "container image" "a buildah that works"; fi
fi

# Everything is built.
if [ "$what" != built ]; then
  rm -rf dist
  UNBUILT=1 packaging/build.sh "${parts[@]}"
fi
if [ "$what" = all ]; then
  # The same source gives the same bytes in another folder, where all of it is compiled anew.
  git clone --quiet . "$root/elsewhere"
  git ls-files -z | tar --null --files-from=- -c | tar -C "$root/elsewhere" -x
  (cd "$root/elsewhere" && UNBUILT=1 packaging/build.sh "${parts[@]}")
  cmp target/release/jmo-telemetry "$root/elsewhere/target/release/jmo-telemetry" ||
    fail "the program differs when it is compiled elsewhere"
  for file in dist/*.sha256; do
    cmp -s "$file" "$root/elsewhere/$file" || fail "$(basename "$file" .sha256) differs when it is built elsewhere"
  done
  rm -rf "$root/elsewhere"
  pass "compiled and packed in two folders, every file is the same"
fi
VERSION=$(target/release/jmo-telemetry --version | cut -d' ' -f2)
(cd dist && sha256sum --check --quiet ./*.sha256) || fail "a checksum is wrong"
ls dist/*"$VERSION"* >/dev/null || fail "the version is not that of the program"
pass "checksums, version $VERSION"

run() { env -i HOME="$root" PATH=/usr/bin:/bin JMO_TELEMETRY_HOME="$root/home" "$@"; }
# main_job PROGRAM… records, flushes and lists.
main_job() {
  rm -rf "${root:?}/home" "$root/out"
  run "$@" record tool.failed --tool trivy --failure-type crash --profile fast
  run "$@" flush --strict --to "dir:$root/out"
  run "$@" spool list --json --state sent | grep -q '"tool.failed"' || fail "$1 does not do the main job"
}

# The archive.
tar -C "$root" -xJf dist/jmo-telemetry-*.tar.xz
folder=$(echo "$root"/jmo-telemetry-*)
main_job "$folder/jmo-telemetry"
for file in README.md LICENSE CHANGELOG.md THIRD-PARTY-LICENSES.txt man/jmo-telemetry.1 man/jmo-telemetry-spool-list.1 \
  completions/jmo-telemetry.bash completions/_jmo-telemetry completions/jmo-telemetry.fish \
  completions/_jmo-telemetry.ps1 completions/jmo-telemetry.elv; do
  [ -s "$folder/$file" ] || fail "the archive has no $file"
done
if ldd "$folder/jmo-telemetry" >/dev/null 2>&1 && ! ldd "$folder/jmo-telemetry" 2>&1 | grep -q "statically"; then
  fail "the program of the archive is not static"
fi
pass "archive: complete, static, does the main job"
if can "man pages" mandoc; then
  for page in "$folder"/man/*.1; do
    mandoc -W error "$page" >/dev/null || fail "$page is no man page"
  done
  pass "man pages: mandoc"
fi

# The wheel and the sdist: their form, and an environment in which the wheel is installed, used and removed.
if has wheel; then
  twine check --strict dist/*.whl dist/jmo_telemetry-*.tar.gz >"$root/twine" ||
    { cat "$root/twine" >&2; fail "twine check"; }
  python3 -m venv "$root/venv"
  "$root/venv/bin/pip" freeze --all >"$root/before"
  "$root/venv/bin/pip" install --quiet --disable-pip-version-check --no-index dist/*.whl || fail "the wheel does not install"
  main_job "$root/venv/bin/jmo-telemetry"
  main_job "$root/venv/bin/python" -m jmo_telemetry
  "$root/venv/bin/pip" uninstall --quiet --yes jmo-telemetry
  "$root/venv/bin/pip" freeze --all | cmp - "$root/before" || fail "pip does not remove the wheel"
  [ ! -e "$root/venv/bin/jmo-telemetry" ] || fail "pip leaves the program behind"
  tar -xzOf dist/jmo_telemetry-*.tar.gz "jmo_telemetry-$VERSION/LICENSE.txt" | cmp - LICENSE ||
    fail "the sdist's licence is another one"
  # This also compares each file with its checksum in RECORD.
  wheel unpack --dest "$root/wheel" dist/*.whl >/dev/null || fail "the wheel is no wheel"
  cmp LICENSE "$root/wheel/jmo_telemetry-$VERSION/jmo_telemetry-$VERSION.dist-info/licenses/LICENSE.txt" ||
    fail "the wheel's licence is another one"
  ! grep -rq -e "$PWD" -e "${CARGO_HOME:-$HOME/.cargo}" "$root/wheel" ||
    fail "the wheel names the folder in which it was built"
  python3 - "$folder/jmo-telemetry.cdx.json" <<'PY'
import json, sys
sbom = json.load(open(sys.argv[1]))
assert sbom["bomFormat"] == "CycloneDX" and len(sbom["components"]) > 50, sbom
PY
  pass "wheel and sdist: twine check, licence; the wheel is installed, used and removed"
fi

# The Debian package: its form, and a root of its own in which it is installed, used and purged.
if has deb; then
  lintian --fail-on error,warning dist/*.deb || fail "lintian"
  pass "deb: lintian has neither errors nor warnings"
  admin="$root/debian/var/lib/dpkg"
  mkdir -p "$admin/info" "$admin/updates"
  touch "$admin/status" "$admin/available"
  apt_root=(dpkg --root="$root/debian" --log=/dev/null --force-not-root --force-depends)
  "${apt_root[@]}" --install dist/*.deb >/dev/null 2>&1 || fail "the .deb does not install"
  main_job "$root/debian/usr/bin/jmo-telemetry"
  "${apt_root[@]}" --purge jmo-telemetry >/dev/null 2>&1 || fail "the .deb does not purge"
  left=$(find "$root/debian" -path "$root/debian/var" -prune -o -type f -print)
  [ -z "$left" ] || fail "after the purge these are left: $left"
  pass "deb: installed, used, purged; nothing is left"
fi

# The image.
if has image; then
  buildah "${storage[@]}" bud --isolation chroot --quiet --tag jmo-telemetry dist/image >/dev/null || fail "buildah bud"
  container=$(buildah "${storage[@]}" from jmo-telemetry)
  record=(record tool.failed --tool trivy --failure-type crash --profile fast)
  buildah "${storage[@]}" run --isolation chroot "$container" -- /usr/bin/jmo-telemetry "${record[@]}" ||
    fail "the image does not run"
  [ "$(buildah "${storage[@]}" inspect --format '{{.OCIv1.Config.User}}' "$container")" = 65532:65532 ] ||
    fail "the image runs as root"
  mounted=$(buildah "${storage[@]}" mount "$container")
  # `buildah run` at times loses the last of what a short process says, so what is said is looked at without it.
  in_image() { env -i HOME=/home/jmo "$(command -v chroot)" --userspec=65532:65532 "$mounted" /usr/bin/jmo-telemetry "$@"; }
  in_image "${record[@]}"
  [[ $(in_image spool list --json) == *'"tool.failed"'* ]] || fail "the image does not record"
  for _ in 1 2; do
    [[ $(in_image banner --mode docker 2>&1) == *"jmo-telemetry disable"* ]] || fail "the image shows no banner"
  done
  files=$(cd "$mounted" && find . -type f -not -path './home/*' -not -path './etc/host*' -not -path './etc/resolv.conf' |
    sort | tr '\n' ' ')
  expected="./etc/ssl/certs/ca-certificates.crt ./usr/bin/jmo-telemetry ./usr/share/doc/jmo-telemetry/LICENSE ./usr/share/doc/jmo-telemetry/THIRD-PARTY-LICENSES.txt "
  [ "$files" = "$expected" ] || fail "the image has other files: $files"
  buildah "${storage[@]}" umount "$container" >/dev/null
  pass "image: built from scratch, records, shows the banner on every run, runs as its own user"
fi

# The source archive is what Homebrew and crates.io build.
cargo publish --dry-run --locked --quiet --allow-dirty --no-verify 2>"$root/publish" ||
  { cat "$root/publish" >&2; fail "cargo publish --dry-run"; }
if grep "^warning" "$root/publish" | grep -v "aborting upload" >&2; then fail "cargo publish --dry-run warns"; fi
pass "crate: cargo publish --dry-run is clean"
if can "the Homebrew formula" ruby; then
  # Homebrew's own test runs in GitHub's workflows.
  CI=true GITHUB_ACTIONS=true CARGO_TARGET_DIR="$PWD/target" ruby packaging/homebrew/stand-in.rb dist/homebrew/jmo-telemetry.rb \
    "dist/jmo-telemetry-$VERSION-source.tar.gz" "$root/brew" >"$root/formula" 2>&1 ||
    { tail -20 "$root/formula" >&2; fail "the formula does not install"; }
  main_job "$root/brew/bin/jmo-telemetry"
  for file in etc/bash_completion.d/jmo-telemetry share/zsh/site-functions/_jmo-telemetry \
    share/fish/vendor_completions.d/jmo-telemetry.fish share/pwsh/completions/_jmo-telemetry.ps1; do
    [ -s "$root/brew/$file" ] || fail "the formula installs no $file"
  done
  diff <(ls "$root/brew/share/man/man1") <(ls "$folder/man") >&2 ||
    fail "the formula installs other man pages than the archive has"
  pass "Homebrew: the formula installs and passes its test, without Homebrew itself"
fi
finish
