#!/bin/bash
# build.sh [OUT]: the guest kernel, an uncompressed vmlinux, from Debian's linux-source-6.12 package.
#
#   OUT                  where to put vmlinux; without it only the cache is filled. The cached path is printed either way.
#   HUSK_KERNEL_CACHE    the cache folder (default ${XDG_CACHE_HOME:-$HOME/.cache}/husk)
#   HUSK_KERNEL_JOBS     make jobs (default: one for each CPU; about 11 minutes of CPU in all, once)
#
# The result is kept in <cache>/kernel-<hash>/vmlinux, where the hash covers everything the result depends on: this script, the fragment,
# the patches, the source package's version and the compiler's. The same inputs give the same bytes on any machine (build time, user,
# host and folder are fixed). --path prints where the result would be, --cached fails when it is not there yet.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mode=build out=
case ${1-} in
  --path|--cached) mode=${1#--} ;;
  -*) sed -n 2,12p "$0" >&2; exit 2 ;;
  *) out=${1-} ;;
esac
cache=${HUSK_KERNEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/husk}
package=linux-source-6.12

die() { echo "build.sh: $*" >&2; exit 1; }
for tool in apt-cache apt-get dpkg-deb gcc make flex bison bc xz patch; do
  command -v "$tool" >/dev/null || die "$tool is not installed (apt install gcc make flex bison bc xz-utils patch libelf-dev)"
done

version=$(apt-cache policy "$package" | sed -n 's/^ *Candidate: //p')
[ -n "$version" ] && [ "$version" != '(none)' ] || die "apt knows no $package; run apt-get update"
# A fixed date, from nothing that changes with the day of the build: it ends up in /proc/version.
stamp='2025-01-01 00:00:00 UTC'
hash=$({ cat "$here/build.sh" "$here/husk.config" "$here"/patches/*.patch; echo "$version"; gcc --version | head -1; ld --version | head -1; } | sha256sum | cut -c1-16)
result=$cache/kernel-$hash
deliver() { [ -z "$out" ] || { mkdir -p "$(dirname "$out")"; cp --reflink=auto "$result/vmlinux" "$out.tmp.$$"; mv "$out.tmp.$$" "$out"; }; echo "$result/vmlinux"; }

[ "$mode" != path ] || { echo "$result/vmlinux"; exit 0; }
if [ -s "$result/vmlinux" ]; then deliver; exit 0; fi
[ "$mode" != cached ] || exit 1

mkdir -p "$cache"
exec 9>"$cache/kernel.lock"; flock 9          # two builds at once would only take turns on the CPU
if [ -s "$result/vmlinux" ]; then deliver; exit 0; fi
work=$(mktemp -d "$cache/kernel-build.XXXXXX"); trap 'rm -rf "$work"' EXIT
echo "build.sh: building $package $version into $result (about 11 minutes of CPU, once)" >&2

deb=$cache/src/${package}_${version//:/%3a}_all.deb
if [ ! -s "$deb" ]; then
  mkdir -p "$cache/src" "$work/deb"
  (cd "$work/deb" && apt-get -o APT::Sandbox::User=root download -qq "$package=$version") >&2
  mv "$work"/deb/*.deb "$deb"
fi
dpkg-deb --fsys-tarfile "$deb" | tar -xO "./usr/src/$package.tar.xz" | tar -xJ -C "$work"
cd "$work/$package"
for patch in "$here"/patches/*.patch; do patch -p1 --silent <"$patch"; done

# Everything that would tell one build from another.
export KBUILD_BUILD_TIMESTAMP="$stamp" KBUILD_BUILD_USER=husk KBUILD_BUILD_HOST=husk KBUILD_BUILD_VERSION=1 SOURCE_DATE_EPOCH=1735689600
flags="-ffile-prefix-map=$PWD=linux"
make -s KCONFIG_ALLCONFIG="$here/husk.config" KCFLAGS="$flags" KAFLAGS="$flags" allnoconfig >&2
# Kconfig drops a symbol whose dependencies are not met without a word.
dropped=$(grep -E '^CONFIG_' "$here/husk.config" | grep -vxFf .config || true)
[ -z "$dropped" ] || die "Kconfig dropped: $(echo $dropped)"
make -s -j"${HUSK_KERNEL_JOBS:-$(nproc)}" KCFLAGS="$flags" KAFLAGS="$flags" vmlinux >&2

mkdir -p "$result.tmp.$$"
objcopy --strip-all --remove-section=.comment vmlinux "$result.tmp.$$/vmlinux"
cp .config "$result.tmp.$$/config"; cp System.map "$result.tmp.$$/"
sha256sum vmlinux | cut -d' ' -f1 >"$result.tmp.$$/vmlinux.unstripped.sha256"
echo "$version" >"$result.tmp.$$/source-version"
rm -rf "$result"; mv "$result.tmp.$$" "$result"
deliver
