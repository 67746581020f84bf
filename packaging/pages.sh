#!/usr/bin/env bash
# Writes the man pages and the completions that the program prints, into man/ and completions/ of a folder:
# packaging/pages.sh PROGRAM FOLDER
set -euo pipefail
program=$1
folder=$2
rm -rf "$folder/man" "$folder/completions"
mkdir -p "$folder/man" "$folder/completions"

# page NAME COMMAND…: writes the page of a command, and those of the subcommands that it names.
page() {
  local name=$1 file=$folder/man/$1.1 subcommand
  shift
  "$program" man "$@" >"$file"
  sed -n "s/\\\\-/-/g; s/^$name-\([a-z.-]*\)(1)\$/\1/p" "$file" | while read -r subcommand; do
    [ "$subcommand" = help ] || page "$name-$subcommand" "$@" "$subcommand"
  done
}
page jmo-telemetry

"$program" completions bash >"$folder/completions/jmo-telemetry.bash"
"$program" completions zsh >"$folder/completions/_jmo-telemetry"
"$program" completions fish >"$folder/completions/jmo-telemetry.fish"
"$program" completions powershell >"$folder/completions/_jmo-telemetry.ps1"
"$program" completions elvish >"$folder/completions/jmo-telemetry.elv"
