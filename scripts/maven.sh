#!/usr/bin/env bash
# Brings artifacts of Maven's central repository, with all that they need at run time, into one folder:
#   maven.sh FOLDER GROUP:NAME:VERSION...
#   maven.sh FOLDER POM                     the artifacts that a pom.xml names
# A folder that holds exactly these artifacts is left alone. Downloads are tried three times, by one Maven at
# a time, for two spoil each other's.
set -euo pipefail
[ $# -gt 1 ] || { echo "usage: maven.sh FOLDER GROUP:NAME:VERSION...|POM" >&2; exit 2; }
folder=$1
shift
wanted=$*
[ ! -f "$1" ] || wanted=$(sha256sum "$1")
[ "$(cat "$folder/artifacts" 2>/dev/null)" != "$wanted" ] || exit 0

{ command -v mvn && command -v javac; } >/dev/null || "$(dirname "$0")/apt.sh" maven openjdk-17-jdk-headless
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1
build=$folder.build
mkdir -p "$(dirname "$0")/../.cache/clients"
exec 8> "$(dirname "$0")/../.cache/clients/maven.lock"
flock 8
rm -rf "$build"
mkdir -p "$build"
if [ -f "$1" ]; then
  cp "$1" "$build/pom.xml"
else
  {
    echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    echo '<groupId>isthmus</groupId><artifactId>jars</artifactId><version>1</version><dependencies>'
    for artifact in "$@"; do
      IFS=: read -r group name version <<<"$artifact"
      echo "<dependency><groupId>$group</groupId><artifactId>$name</artifactId><version>$version</version></dependency>"
    done
    echo '</dependencies></project>'
  } > "$build/pom.xml"
fi
for pause in 3 10 0; do
  if mvn -B -q -f "$build/pom.xml" "$plugin:copy-dependencies" -DincludeScope=runtime -DoutputDirectory="$build/jars" > "$build/log" 2>&1; then
    echo "$wanted" > "$build/jars/artifacts"
    rm -rf "$folder"
    mv "$build/jars" "$folder"
    rm -rf "$build"
    exit 0
  fi
  sleep "$pause"
done
tail -20 "$build/log" >&2
echo "maven.sh: could not resolve $*" >&2
exit 1
