#!/bin/sh
# The main job in one go: record → flush → list, on the embedded `dir:` destination, without any
# account, in a temporary home that is deleted afterwards.
set -eu
cd "$(dirname "$0")/.."
# cargo itself says where it was told to build, as JSON.
program=$(cargo build --locked --message-format json-render-diagnostics |
  sed -n '/"executable":"/{s/.*"executable":"\([^"]*\)".*/\1/;s/\\\\/\\/g;p;}')
[ -n "$program" ]
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Variables that disable telemetry, above all CI, must not affect this temporary home.
for variable in CI GITHUB_ACTIONS GITLAB_CI JENKINS_URL BUILD_ID CIRCLECI TRAVIS TF_BUILD \
  BITBUCKET_PIPELINE_UUID DO_NOT_TRACK JMO_TELEMETRY_DISABLE JMO_TELEMETRY_GIST_ID JMO_TELEMETRY_ENDPOINT; do
  unset "$variable"
done
export JMO_TELEMETRY_HOME="$scratch/home"
cd "$scratch"
set -x
"$program" record scan.started --mode cli --profile balanced --tool trivy --tool semgrep --repos 3 --images 1
"$program" record scan.completed --mode cli --profile fast --duration 412s --succeeded 8 --failed 0 --findings 37
"$program" flush --to "dir:$scratch/out" --verbose
"$program" spool list
cat out/*.jsonl
