#!/usr/bin/env bash
# Installs the pinned tools of this repository into .cache/tools/bin:
#   tools.sh lint    golangci-lint
#   tools.sh gen     buf and the protoc plugins
# A tool that is there in its pinned version is left alone. Downloads are tried three times.
set -euo pipefail
cd "$(dirname "$0")/.."

GOLANGCI_LINT=v2.15.0
BUF=1.75.0
PROTOC_GEN_GO=v1.36.12
PROTOC_GEN_GO_GRPC=v1.6.2

bin=$PWD/.cache/tools/bin
mkdir -p "$bin"

retry() { for pause in 2 10 0; do "$@" && return 0; sleep "$pause"; done; return 1; }

# installed NAME VERSION: whether that version of a tool was installed by this script.
installed() { [ -x "$bin/$1" ] && [ "$(cat "$bin/$1.version" 2>/dev/null)" = "$2" ]; }

from_go() { # NAME PACKAGE VERSION
  installed "$1" "$3" && return 0
  echo "installing $1 $3" >&2
  GOBIN=$bin GOFLAGS=-mod=mod retry go install "$2@$3"
  echo "$3" > "$bin/$1.version"
}

buf_tool() {
  installed buf "$BUF" && return 0
  if command -v npm >/dev/null; then
    echo "installing buf $BUF" >&2
    retry npm install --silent --no-audit --no-fund --prefix "$PWD/.cache/tools/buf" "@bufbuild/buf@$BUF"
    ln -sf "$PWD/.cache/tools/buf/node_modules/.bin/buf" "$bin/buf"
    echo "$BUF" > "$bin/buf.version"
  else
    from_go buf github.com/bufbuild/buf/cmd/buf "v$BUF" && echo "$BUF" > "$bin/buf.version"
  fi
}

case ${1:?usage: tools.sh lint|gen} in
  lint) from_go golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint "$GOLANGCI_LINT" ;;
  gen)
    buf_tool
    from_go protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go "$PROTOC_GEN_GO"
    from_go protoc-gen-go-grpc google.golang.org/grpc/cmd/protoc-gen-go-grpc "$PROTOC_GEN_GO_GRPC"
    ;;
  *) echo "tools.sh: no tool set $1" >&2; exit 2 ;;
esac
