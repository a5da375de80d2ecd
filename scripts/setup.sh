#!/usr/bin/env bash
# Install what is missing, and nothing else: packages of the distribution, a virtual environment in .venv, and as root
# the user that servers run as. Every failure ends in one sentence on standard error; details are in build/setup.log.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
umask 022 # servers run as another user than root and must be able to read what we install

readonly LOG=build/setup.log
readonly STAMP=.venv/ispagents-setup
readonly SERVICE_USER=ispagents # ispagents/processes.py looks for it
readonly PACKAGES=(freeradius freeradius-python3 freeradius-utils freeradius-postgresql)
# Pango and fonts print invoices (WeasyPrint); DejaVu has the letters of Polish, Greek, Arabic and many more.
readonly PRINT_PACKAGES=(libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-liberation fonts-dejavu-core)
readonly TEST_PACKAGES=(chromium) # with --tests: the tests look at the pages with it
readonly PYTHON_NEEDED='import sys; sys.exit(sys.version_info < (3, 11))'
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # an ordinary user's PATH often lacks them

fail() {
  printf 'setup: %s\n' "$1" >&2
  exit 1
}

say() { printf 'setup: %s\n' "$1"; }

# --- is everything there already? ---

# The stamp belongs to this pyproject.toml, this script and this place: a moved .venv has the old path in its scripts.
wanted_stamp() {
  { pwd && cat pyproject.toml scripts/setup.sh; } | sha256sum | cut -d ' ' -f 1
}

venv_is_good() {
  [[ -x .venv/bin/python && -x .venv/bin/ispagents && -x .venv/bin/pytest ]] &&
    [[ "$(cat "$STAMP" 2>/dev/null)" == "$(wanted_stamp)" ]] &&
    .venv/bin/python -c "$PYTHON_NEEDED" 2>/dev/null
}

missing_packages() {
  local package
  for package in "$@"; do
    [[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" == installed ]] || printf '%s\n' "$package"
  done
}

# Elsewhere than on Debian and its relatives we install nothing, but what counts may be there.
freeradius_by_hand() {
  { command -v freeradius || command -v radiusd; } >/dev/null && command -v radclient >/dev/null
}

# --- packages of the distribution ---

become_root() {
  if [[ $(id -u) -eq 0 ]]; then
    "$@"
  else
    sudo -- "$@"
  fi
}

check_root() {
  [[ $(id -u) -eq 0 ]] && return
  command -v sudo >/dev/null ||
    fail "$1 must be installed and that needs root: run 'make setup' as root, or have an administrator install them."
  sudo -n true 2>/dev/null && return
  [[ -t 0 ]] && sudo -v && return
  fail "$1 must be installed and sudo was not granted: run 'make setup' as root, or have an administrator install them."
}

# An installed FreeRADIUS would start at once and hold our ports. While packages install, policy-rc.d answers "do not
# start anything"; one that is there already belongs to somebody and is left as it is.
readonly POLICY=/usr/sbin/policy-rc.d
policy_is_ours=no

forbid_service_starts() {
  [[ -e $POLICY ]] && return
  printf '#!/bin/sh\nexit 101\n' | become_root tee "$POLICY" >/dev/null
  policy_is_ours=yes
  become_root chmod 755 "$POLICY"
}

allow_service_starts() {
  [[ $policy_is_ours == yes ]] || return 0
  policy_is_ours=no
  become_root rm -f "$POLICY"
}

# systemd would start it at the next boot. Only called for a FreeRADIUS that we installed ourselves just now.
disable_service() {
  [[ -d /run/systemd/system ]] || return 0
  become_root systemctl disable --now freeradius >>"$LOG" 2>&1 || true
}

apt_install() {
  become_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    -o DPkg::Lock::Timeout=120 "$@" </dev/null >>"$LOG" 2>&1
}

install_packages() {
  local names="$*"
  command -v apt-get >/dev/null ||
    fail "$names cannot be installed without apt-get: install FreeRADIUS 3.2 with its Python 3 and PostgreSQL modules, and Pango, by this system's own means."
  check_root "$names"
  say "installing with apt-get: $names (no service is started)."
  forbid_service_starts
  if ! apt_install "$@"; then
    become_root apt-get update </dev/null >>"$LOG" 2>&1 || true
    apt_install "$@" ||
      fail "$names could not be installed, perhaps for want of a network or free disk: see $LOG and run 'make setup' again."
  fi
  allow_service_starts
  [[ " $names " != *" freeradius "* ]] || disable_service
}

# --- Python ---

# Shims (pyenv) come last: they lie in somebody's home, where the servers' user cannot follow.
find_python() {
  local pass candidate
  for pass in direct shim; do
    while IFS= read -r candidate; do
      [[ $pass == shim || $candidate != */shims/* ]] || continue
      if "$candidate" -c "$PYTHON_NEEDED" >/dev/null 2>&1; then
        printf '%s\n' "$candidate"
        return
      fi
    done < <(type -aP python3.11 python3 python3.12 python3.13 python3.14)
  done
  return 1
}

can_make_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

make_venv() {
  local python
  if [[ -x .venv/bin/python ]] && .venv/bin/python -c "$PYTHON_NEEDED; import pip" 2>/dev/null && venv_is_here; then
    return
  fi
  python=$(find_python) ||
    fail "Python 3.11 or newer was not found: install it (on Debian 12: apt-get install python3 python3-venv) and run 'make setup' again."
  if ! can_make_venv "$python"; then
    install_packages python3-venv
    can_make_venv "$python" ||
      fail "$python cannot make virtual environments even with python3-venv: install the venv package that belongs to it."
  fi
  rm -rf .venv
  "$python" -m venv .venv >>"$LOG" 2>&1 ||
    fail "the virtual environment .venv could not be made, perhaps for want of free disk: see $LOG and run 'make setup' again."
}

# Scripts in .venv/bin begin with its path at the time; after the checkout has moved they lead nowhere.
venv_is_here() {
  local script=.venv/bin/pip
  [[ -e $script && "$(head -n 1 "$script")" == "#!$(pwd)/.venv/bin/"* ]]
}

install_python_packages() {
  say "installing the Python packages of pyproject.toml into .venv."
  .venv/bin/python -m pip install --disable-pip-version-check --no-input --quiet -e '.[dev]' >>"$LOG" 2>&1 ||
    fail "the Python packages could not be installed, perhaps for want of a network or free disk: see $LOG and run 'make setup' again."
  wanted_stamp >"$STAMP"
}

# --- the user that servers run as ---

make_service_user() {
  [[ $(id -u) -eq 0 ]] || return 0 # an ordinary user's servers run as that user
  getent passwd "$SERVICE_USER" >/dev/null && return
  say "making the system user $SERVICE_USER, as which root's servers run."
  useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$SERVICE_USER" \
    >>"$LOG" 2>&1 || say "that did not work (see $LOG), so they run as nobody."
}

main() {
  local missing=() wanted=("${PACKAGES[@]}" "${PRINT_PACKAGES[@]}")
  [[ "${1:-}" != --tests ]] || wanted+=("${TEST_PACKAGES[@]}")
  mkdir -p build 2>/dev/null && : 2>/dev/null >>"$LOG" ||
    fail "$(pwd) may not be written by this user: give it to this user or copy the checkout to a folder of your own."
  exec 9>build/setup.lock
  flock 9 # a second setup at the same time waits for the first

  mapfile -t missing < <(missing_packages "${wanted[@]}")
  if [[ ${#missing[@]} -gt 0 ]] && { command -v dpkg-query >/dev/null || ! freeradius_by_hand; }; then
    trap allow_service_starts EXIT
    install_packages "${missing[@]}"
  fi
  make_service_user
  if ! venv_is_good; then
    make_venv
    install_python_packages
  fi
}

main "$@"
