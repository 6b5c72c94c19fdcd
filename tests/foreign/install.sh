#!/bin/sh
# Puts the mail servers that others wrote where tests/foreign can run them, on Debian or what derives from it,
# and OpenDKIM, which says whether what arrived there is still signed (dkim_verifier.py).
#
# Debian's MTAs exclude each other as packages, and installing one would start it. So their .debs are only
# unpacked, side by side, together with those libraries that this machine does not have; nothing of the system
# changes but for the accounts without login that Postfix and Exim have compiled in or insist on.
# OpenSMTPD needs none: it runs in a chroot of its own, and brings its own libraries there, because the one of
# Debian 12 cannot do TLS (6.8 does not work with OpenSSL 3): there it is taken from Debian 13.
#
#   tests/foreign/install.sh [FOLDER]        default: .cache/foreign in the checkout
#
# Run as root. Runs again in no time when everything is there.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(realpath -m "${1:-${BULKMAIL_FOREIGN:-$here/.cache/foreign}}")
packages="postfix exim4-base exim4-daemon-light opendkim"
contents="$packages opensmtpd 8"

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
if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$contents" ]; then
  echo "foreign mail servers: already in $folder"
  exit 0
fi

# Every library that some packages need, directly or not. More arguments are options of apt-cache.
libraries_of() {
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances "$@" | grep -E '^(lib|zlib)' | grep -v -e '-perl$' | sort -u
}

if ! apt-cache show $packages >/dev/null 2>&1; then
  apt-get update -q
fi

missing=$(
  libraries_of $packages |
    while read -r library; do
      dpkg-query -W -f '${Status}' "$library" 2>/dev/null | grep -q 'ok installed' || echo "$library"
    done
)

rm -rf "$folder.new"
mkdir -p "$folder.new/debs" "$folder.new/lib"
chmod 755 "$folder.new"
# As root without apt's own sandbox user, who may not be able to write here.
(cd "$folder.new/debs" && apt-get download -q -o APT::Sandbox::User=root $packages $missing)
for package in $packages; do
  mkdir "$folder.new/$package"
  dpkg-deb -x "$folder.new/debs/${package}"_*.deb "$folder.new/$package"
done
for library in $missing; do
  dpkg-deb -x "$folder.new/debs/${library}"_*.deb "$folder.new/lib"
done
# OpenSMTPD with all that it is linked to, as the root of a file system: packages of one release, whichever this
# machine has, so with lists and a status of their own (nothing is installed there).
. /etc/os-release
suite=$VERSION_CODENAME
if [ "$ID" = debian ] && [ "${VERSION_ID%%.*}" -lt 13 ]; then
  suite=trixie
fi
mirror=$(
  apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk -v release="$VERSION_CODENAME" '$1 == release && $2 == "main" { print $3; exit }'
)
apt=$folder.new/apt
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/debs"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
if [ ! -e "$keyring" ]; then
  keyring=
fi
echo "deb ${keyring:+[signed-by=$keyring]} $mirror $suite main" >"$apt/sources.list"
: >"$apt/status"
options="-o Dir::Etc::sourcelist=$apt/sources.list -o Dir::Etc::sourceparts=/dev/null
  -o Dir::State::lists=$apt/lists -o Dir::State::status=$apt/status -o Dir::Cache=$apt/cache
  -o APT::Sandbox::User=root"
apt-get -q $options update
root=$folder.new/opensmtpd
mkdir -p "$root/usr/bin" "$root/usr/lib" "$root/usr/lib64" "$root/usr/sbin"
for place in bin lib lib64 sbin; do
  ln -s "usr/$place" "$root/$place"
done
(cd "$apt/debs" && apt-get download -q $options opensmtpd dash $(libraries_of $options opensmtpd))
for deb in "$apt/debs"/*.deb; do
  # Through tar, which keeps the links to usr that older packages would replace by folders.
  dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink --exclude './usr/share' \
    --exclude '*/gconv' --exclude '*/perl*'
done
rm -rf "$apt"

# Nothing of this needs to be set-id here, and a set-id program would not find its libraries.
chmod -R u-s,g-s "$folder.new"
rm -rf "$folder.new/debs" "$folder"
printf '%s\n' "$contents" >"$folder.new/complete"
mkdir -p "$(dirname "$folder")"
mv "$folder.new" "$folder"
echo "foreign mail servers: unpacked into $folder"
