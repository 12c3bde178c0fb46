#!/usr/bin/env bash
# Installs an engine of the end-to-end tests that runs in Java: java-jobs.sh NAME [JAVA-OPTION...]
# takes the jars that internal/e2e/clients/NAME/pom.xml names and compiles the jobs beside it, if any. It leaves
# .cache/clients/NAME/driver, which runs one of them with these options of the virtual machine:
#   driver version | driver CLASS ARG...
# What is there already, of the same sources, is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

name=${1:?usage: java-jobs.sh NAME [JAVA-OPTION...]}
shift
source=internal/e2e/clients/$name
mkdir -p ".cache/clients/$name"
home=$(realpath ".cache/clients/$name")
exec 9>"$home/lock"
flock 9
scripts/maven.sh "$home/jars" "$source/pom.xml"
stamp=$(cat "$source"/* "$0" - <<<"$*" | sha256sum)
[ "$(cat "$home/stamp" 2>/dev/null)" != "$stamp" ] || exit 0

rm -rf "$home/classes"
shopt -s nullglob
jobs=("$source"/*.java)
# The signals of a process are in no public package.
[ ${#jobs[@]} -eq 0 ] || javac -nowarn -XDignore.symbol.file -d "$home/classes" -cp "$home/jars/*" "${jobs[@]}"
version=$(sed -n 's|^  <version>\(.*\)</version>$|\1|p' "$source/pom.xml")
cat > "$home/driver" <<D
#!/bin/sh
[ "\$1" != version ] || { echo "$name $version"; exit 0; }
exec java $* -cp "$home/classes:$home/jars/*" "\$@"
D
chmod +x "$home/driver"
echo "$stamp" > "$home/stamp"
