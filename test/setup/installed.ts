/**
 * How each thing that is released is installed into an empty folder by somebody who is not root, and where its husk is
 * then.
 */
export type Kind = 'tarball' | 'deb' | 'npm';

/** `script` is for sh: $1 is the folder with what is released, $2 the empty root to be made */
export const INSTALLED: Record<Kind, { script: string; husk: string }> = {
  tarball: {
    script: 'mkdir "$2"; tar -xzf "$1"/husk-*-linux-x64.tar.gz --strip-components=1 -C "$2"',
    husk: 'bin/husk',
  },
  deb: {
    // what it depends on is this machine's, of which the empty root knows nothing
    script:
      'mkdir -p "$2/var/lib/dpkg/info" "$2/var/lib/dpkg/updates"; : >"$2/var/lib/dpkg/status"; dpkg --root="$2" --force-not-root --force-depends --log=/dev/null --install "$1"/husk_*_amd64.deb',
    husk: 'usr/bin/husk',
  },
  npm: {
    script: 'npm install --global --offline --no-audit --no-fund --prefix "$2" "$1"/husk-[0-9]*[0-9].tgz',
    husk: 'bin/husk',
  },
};
