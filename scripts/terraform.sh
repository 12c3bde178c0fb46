#!/usr/bin/env bash
# Terraform without a registry and without an account:
#   terraform.sh install        the pinned terraform in .cache/tools/bin: the installed one if it is new enough, else built from its
#                               Go module, without the backends of remote state, which live in modules of their own
#   terraform.sh mirror         the schema-only provider, laid out as a mirror, and a configuration that names it alone
#   terraform.sh test           all checks of terraform/ and examples/
#   terraform.sh schema         writes the facts of the provider's schema anew from the npm package that holds them
#   terraform.sh live           the examples against a real account; see docs/terraform.md
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

TERRAFORM=1.11.4
SCHEMA_PACKAGE=@cdktf/provider-aws
SCHEMA_VERSION=21.22.1
PROVIDER_VERSION=6.25.0

bin=$root/.cache/tools/bin
work=$root/.cache/terraform
mkdir -p "$bin" "$work"
export CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1

retry() { for pause in 2 10 0; do "$@" && return 0; sleep "$pause"; done; return 1; }
say() { echo "terraform.sh: $*" >&2; }

# Tests name values of resources that are only planned, which needs terraform 1.11, while the modules need 1.7; the version is pinned for what is built here.
install() {
  local have
  if [ -x "$bin/terraform" ]; then return 0; fi
  if have=$(command -v terraform); then
    version=$(TF_CLI_CONFIG_FILE='' "$have" version | sed -n '1s/^Terraform v//p')
    if [ "$(printf '%s\n' 1.11.0 "$version" | sort -V | head -1)" = 1.11.0 ]; then
      ln -sf "$have" "$bin/terraform"
      return 0
    fi
    say "$have is terraform $version, and 1.11.0 is the oldest that will do"
  fi
  say "building terraform $TERRAFORM"
  local dir src=$work/src
  dir=$(cd "$work" && retry env GOFLAGS=-mod=mod go mod download -json "github.com/hashicorp/terraform@v$TERRAFORM" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [ -n "$dir" ] || { say "no terraform on PATH, and its Go module could not be had: install terraform 1.11 or later"; return 1; }
  rm -rf "$src"
  cp -r "$dir" "$src"
  chmod -R u+w "$src"
  local own='azure|consul|cos|gcs|kubernetes|oss|pg|s3'
  sed -i '/^godebug /d' "$src/go.mod"
  sed -i -E "/internal\/backend\/remote-state\/($own)/d" "$src/go.mod" "$src/internal/backend/init/init.go"
  sed -i -E '/backend(Azure|Consul|Cos|GCS|Kubernetes|OSS|Pg|S3)\.New/d' "$src/internal/backend/init/init.go"
  (cd "$src" && retry go build -mod=mod -o "$bin/terraform" .) || { say "terraform could not be built: install terraform 1.11 or later"; return 1; }
  rm -rf "$src"
}

# terraform has no other provider than ours, and asks no registry. The default registry's name is in nobody's file: it is read
# from what terraform says about a configuration that names the provider.
mirror() {
  install
  local name built=$work/terraform-provider-aws_v$PROVIDER_VERSION
  (cd terraform/tests && go build -o "$built" ./provider)
  mkdir -p "$work/name"
  printf 'terraform {\n  required_providers {\n    aws = {\n      source = "hashicorp/aws"\n    }\n  }\n}\n' > "$work/name/main.tf"
  name=$(TF_CLI_CONFIG_FILE='' "$bin/terraform" -chdir="$work/name" providers | sed -n 's/.*provider\[\([^]]*\)\].*/\1/p' | head -1)
  [ -n "$name" ] || { say "terraform does not say where hashicorp/aws comes from"; return 1; }
  local place=$work/mirror/$name/$PROVIDER_VERSION/$(go env GOOS)_$(go env GOARCH)
  mkdir -p "$place"
  ln -sf "$built" "$place/"
  printf 'provider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' "$work/mirror" > "$work/terraformrc"
  export TF_CLI_CONFIG_FILE=$work/terraformrc
}

# folders are all that hold a configuration of their own; the modules below are reached through them too.
folders() { find terraform/modules examples -name versions.tf -not -path '*/.terraform/*' -printf '%h\n' | sort; }

check() { # FOLDER: init, validate and, where there are tests, test
  local data=$work/data/$1 log=$work/log/${1//\//-}
  mkdir -p "$(dirname "$data")" "$work/log"
  (
    export TF_DATA_DIR=$data
    rm -f "$1/.terraform.lock.hcl"
    trap 'rm -f "$1/.terraform.lock.hcl"' EXIT
    "$bin/terraform" -chdir="$1" init -input=false -backend=false -no-color &&
      "$bin/terraform" -chdir="$1" validate -no-color &&
      { ! compgen -G "$1/tests/*.tftest.hcl" >/dev/null || "$bin/terraform" -chdir="$1" test -no-color; }
  ) >"$log" 2>&1 || { cat "$log"; say "$1 failed"; return 1; }
  echo "$1: $(grep . "$log" | tail -1)"
}

# units have systemd read the examples' units; the program that they start is the one that was built.
units() {
  command -v systemd-analyze >/dev/null || scripts/apt.sh systemd
  local unit
  for unit in examples/systemd/*.service; do
    sed "s#/usr/local/bin/isthmus#${ISTHMUS_BIN:-$root/isthmus}#" "$unit" > "$work/$(basename "$unit")"
    systemd-analyze verify "$work/$(basename "$unit")"
  done
}

tests() {
  mirror
  say "the provider is a schema-only stand-in made of $SCHEMA_PACKAGE $SCHEMA_VERSION: it is not the AWS provider, and proves names, types and wiring alone"
  "$bin/terraform" fmt -check -recursive -diff terraform examples
  (cd terraform/tests && go vet ./... && go test ./...)
  units
  folders | xargs -P "$(nproc)" -n 1 "$0" check
  ISTHMUS_BIN=${ISTHMUS_BIN:-$root/isthmus} ISTHMUS_TERRAFORM=$bin/terraform go test -tags e2e -count=1 -timeout 5m ./iam/tfpolicy
}

schema() {
  local package=$work/schema
  mkdir -p "$package"
  (cd "$package" && rm -f -- *.tgz && retry npm pack --silent "$SCHEMA_PACKAGE@$SCHEMA_VERSION" >/dev/null)
  # shellcheck disable=SC2046 # one word for each type
  (cd terraform/tests && go run ./provider/extract "$package"/*.tgz $(cat provider/types.txt) > "$package/facts.json")
  mv "$package/facts.json" terraform/tests/provider/schema-facts.json
}

live() {
  install
  : "${ISTHMUS_TERRAFORM_DIR:?name a folder that calls the modules with your accounts, such as a copy of examples/cross-account}"
  unset TF_CLI_CONFIG_FILE
  cd "$ISTHMUS_TERRAFORM_DIR"
  "$bin/terraform" init -input=false
  "$bin/terraform" validate
  "$bin/terraform" plan -input=false
}

case ${1:?usage: terraform.sh install|mirror|test|schema|live} in
  install | mirror | schema | live) "$1" ;;
  test) tests ;;
  check) TF_CLI_CONFIG_FILE=$work/terraformrc check "$2" ;; # one folder, once the mirror is there
  *) say "no such command: $1"; exit 2 ;;
esac
