#!/bin/sh
# Puts the mail servers that others wrote where tests/foreign can run them, on Debian or what derives from it.
#
# Debian's MTAs exclude each other as packages, and installing one would start it. So their .debs are only
# unpacked, side by side, together with those libraries that this machine does not have; nothing of the system
# changes but for the accounts without login that Postfix and Exim have compiled in or insist on.
# OpenSMTPD needs none: it runs in a chroot of its own.
#
#   tests/foreign/install.sh [FOLDER]        default: .cache/foreign in the checkout
#
# Run as root. Runs again in no time when everything is there.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:-${BULKMAIL_FOREIGN:-$here/.cache/foreign}}
servers="postfix exim4-base exim4-daemon-light opensmtpd"

# The accounts, also when the folder came from a cache and the machine is new.
if [ "$(id -u)" != 0 ]; then
  echo "install.sh: only root can add the accounts that the servers drop their privileges to" >&2
  exit 1
fi
for group in postfix postdrop Debian-exim; do
  getent group "$group" >/dev/null || groupadd --system "$group"
done
for user in postfix Debian-exim; do
  getent passwd "$user" >/dev/null ||
    useradd --system --gid "$user" --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin "$user"
done

stamp=$folder/complete
if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$servers" ]; then
  echo "foreign mail servers: already in $folder"
  exit 0
fi

if ! apt-cache show $servers >/dev/null 2>&1; then
  apt-get update -q
fi

# Every library that the servers need, directly or not, and that is not installed.
missing=$(
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances $servers | grep -E '^lib' | grep -v -e '-perl$' | sort -u |
    while read -r library; do
      dpkg-query -W -f '${Status}' "$library" 2>/dev/null | grep -q 'ok installed' || echo "$library"
    done
)

rm -rf "$folder.new"
mkdir -p "$folder.new/debs" "$folder.new/lib"
chmod 755 "$folder.new"
# As root without apt's own sandbox user, who may not be able to write here.
(cd "$folder.new/debs" && apt-get download -q -o APT::Sandbox::User=root $servers $missing)
for server in $servers; do
  mkdir "$folder.new/$server"
  dpkg-deb -x "$folder.new/debs/${server}"_*.deb "$folder.new/$server"
done
for library in $missing; do
  dpkg-deb -x "$folder.new/debs/${library}"_*.deb "$folder.new/lib"
done
# Nothing of this needs to be set-id here, and a set-id program would not find its libraries.
chmod -R u-s,g-s "$folder.new"
rm -rf "$folder.new/debs" "$folder"
printf '%s\n' "$servers" >"$folder.new/complete"
mkdir -p "$(dirname "$folder")"
mv "$folder.new" "$folder"
echo "foreign mail servers: unpacked into $folder"
