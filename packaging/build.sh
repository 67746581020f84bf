#!/usr/bin/env bash
# Builds the packages of this platform into dist/.
#
#   packaging/build.sh [archive] [deb] [wheel] [sdist] [crate] [manifests] [image]     what to build
#
# Without arguments, everything that this platform builds: archive and wheel, on Linux also the others but manifests.
#
#   archive    jmo-telemetry-TARGET.tar.xz (.zip on Windows): program, man pages, completions, licences, SBOM
#   deb        the Debian package (needs cargo-deb)
#   wheel      the Python wheel (needs python/requirements-dev.txt, or `maturin` on PATH)
#   sdist      the Python source archive, the same on every platform (needs the same)
#   crate      the crate, which is also the source archive that the Homebrew formula builds
#   manifests  Homebrew and WinGet, from the checksums of the files in dist/, which needs those of all platforms; with
#              UNBUILT=1 a file that is missing counts as one of zeros
#   image      the folder dist/image, from which docker and buildah build packaging/docker/Dockerfile
#
# The version is that of Cargo.toml. Files are dated SOURCE_DATE_EPOCH, by default that of the last commit, and the
# program names no folder of whoever compiles it, so the same source gives the same bytes in any folder. Each file gets
# a .sha256 beside it.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8 TZ=UTC PYTHONUTF8=1

python=${PYTHON:-python3}
target=$(rustc -vV | sed -n 's/^host: //p')
case $target in
  *linux*) parts=${*:-archive deb wheel sdist crate image} ;;
  *) parts=${*:-archive wheel} ;;
esac
VERSION=$(cargo pkgid --locked | sed 's/.*[#@]//')
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export VERSION SOURCE_DATE_EPOCH
unset CARGO_TARGET_DIR CARGO_BUILD_TARGET RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
# For cargo and for maturin, beside the flags of .cargo/config.toml. They are split at spaces.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
if [[ $PWD$cargo_home == *" "* ]]; then
  echo "packaging: move the checkout and CARGO_HOME to folders without a space in their names" >&2
  exit 1
fi
flags=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")_RUSTFLAGS
export "$flags=--remap-path-prefix=$PWD=/jmo-telemetry --remap-path-prefix=$cargo_home=/cargo"
exe=
case $target in *windows*) exe=.exe ;; esac
program=target/release/jmo-telemetry$exe

has() { [[ " $parts " == *" $1 "* ]]; }
say() { echo "packaging: $*" >&2; }
# checksum FILE…: written as bytes. On Windows Python ends a line of text with CR LF, which no `sha256sum --check` takes.
checksum() {
  (cd dist && "$python" - "${@#dist/}" <<'PY'
import hashlib, sys
for name in sys.argv[1:]:
    digest = hashlib.sha256(open(name, "rb").read()).hexdigest()
    open(name + ".sha256", "wb").write(f"{digest}  {name}\n".encode())
PY
  )
}
find_maturin() {
  for candidate in maturin target/python-tools/bin/maturin target/python-tools/Scripts/maturin.exe; do
    if command -v "$candidate" >/dev/null; then command -v "$candidate"; return; fi
  done
  say "maturin is missing; python3 -m pip install -r python/requirements-dev.txt brings it"
  return 1
}

mkdir -p dist target/package
if has archive || has deb || has wheel || has image; then
  say "compiling jmo-telemetry $VERSION for $target"
  cargo build --release --locked --quiet
  "$python" packaging/licenses.py "$target" >target/package/THIRD-PARTY-LICENSES.txt
fi

if has wheel || has sdist; then
  maturin=$(realpath "$(find_maturin)")
fi
if has wheel; then
  rm -f dist/jmo_telemetry-*.whl*
  (cd python && "$maturin" build --release --locked --quiet --out ../dist) >&2
  "$python" packaging/sbom.py dist/jmo_telemetry-*.whl target/package/jmo-telemetry.cdx.json
  checksum dist/jmo_telemetry-*.whl
fi
if has sdist; then
  rm -f dist/jmo_telemetry-*.tar.gz*
  # It says first that there is no Cargo.toml in this folder, and then finds the right one.
  (cd python && "$maturin" sdist --out ../dist) >target/package/sdist 2>&1 || { cat target/package/sdist >&2; exit 1; }
  checksum dist/jmo_telemetry-*.tar.gz
fi

if has archive || has deb; then
  packaging/pages.sh "$program" target/package
  # Dated and numbered as Debian wants it; what changed stands in CHANGELOG.md.
  cat >target/package/changelog <<CHANGELOG
jmo-telemetry ($VERSION-1) unstable; urgency=medium

  * Release $VERSION; CHANGELOG.md at the project's home says what changed.

 -- The jmo-telemetry maintainers <general@jmogaming.com>  $("$python" -c 'import email.utils, os; print(email.utils.formatdate(int(os.environ["SOURCE_DATE_EPOCH"])))')
CHANGELOG
fi

if has archive; then
  folder=target/package/jmo-telemetry-$target
  rm -rf "$folder" && mkdir -p "$folder"
  cp "$program" README.md LICENSE CHANGELOG.md target/package/THIRD-PARTY-LICENSES.txt "$folder"
  cp -r target/package/man target/package/completions "$folder"
  if has wheel; then
    cp target/package/jmo-telemetry.cdx.json "$folder"
  fi
  archive=dist/jmo-telemetry-$target.tar.xz
  [ -z "$exe" ] || archive=dist/jmo-telemetry-$target.zip
  rm -f "$archive"
  "$python" packaging/archive.py "$folder" "$archive"
  checksum "$archive"
fi

if has deb; then
  rm -f dist/*.deb
  cargo deb --quiet --no-build --no-strip --locked --output dist/
  checksum dist/*.deb
fi

if has crate; then
  # Uncommitted changes are the developer's to package for a trial; a release is built from a tag.
  cargo package --locked --quiet --no-verify --allow-dirty
  cp "target/package/jmo-telemetry-$VERSION.crate" "dist/jmo-telemetry-$VERSION-source.tar.gz"
  checksum "dist/jmo-telemetry-$VERSION-source.tar.gz"
fi

if has manifests; then
  render=("$python" packaging/render.py)
  [ "${UNBUILT:-}" != 1 ] || render+=(--unbuilt)
  "${render[@]}" packaging/homebrew/jmo-telemetry.rb dist/homebrew/jmo-telemetry.rb
  for part in version installer locale.en-US; do
    suffix=.$part
    [ "$part" != version ] || suffix=
    "${render[@]}" "packaging/winget/$part.yaml" "dist/winget/jmo.jmo-telemetry$suffix.yaml"
  done
fi

if has image; then
  rm -rf dist/image && mkdir -p dist/image/home
  chmod 700 dist/image/home
  cp "$program" packaging/docker/Dockerfile LICENSE target/package/THIRD-PARTY-LICENSES.txt dist/image
  cp /etc/ssl/certs/ca-certificates.crt dist/image
fi
say "built: $parts"
