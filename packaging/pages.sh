#!/usr/bin/env bash
# Writes the man pages and the completions that the program prints: packaging/pages.sh PROGRAM FOLDER
set -euo pipefail
program=$1
folder=$2

"$program" man >"$folder/man/jmo-telemetry.1"

"$program" completions bash >"$folder/completions/jmo-telemetry.bash"
"$program" completions zsh >"$folder/completions/_jmo-telemetry"
"$program" completions fish >"$folder/completions/jmo-telemetry.fish"
"$program" completions powershell >"$folder/completions/_jmo-telemetry.ps1"
"$program" completions elvish >"$folder/completions/jmo-telemetry.elv"
