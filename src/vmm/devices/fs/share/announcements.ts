/**
 * What a share's guest is told of the host's changes, and what its agent finds at a name while it is told: a name that
 * has come is not there until the agent makes it, and one that is gone is there until the agent removes it
 * (requests/changes.ts).
 */
import type { FileChange } from '../../../../agent-protocol.ts';
import { IN } from '../../../../host/files/inotify.ts';
import { NO_FD, S_IFDIR, S_IFREG, type Inode, type Inodes } from './inodes.ts';
import { HAPPENED, News, type Happening, type TellNews } from './news.ts';

/** kinds of which the guest can be told that they were made: S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK */
const MADE: ReadonlySet<number> = new Set([S_IFREG, S_IFDIR, 0o120000, 0o010000, 0o140000]);

/** what a guest is being told of a name */
type Announced = { what: 'created' } | { what: 'gone'; kind: number };

export class Announcements implements Disposable {
  readonly #news: News;
  readonly #inodes: Inodes;
  readonly #onFolder: (folder: Inode) => void;
  /** by folder and name */
  readonly #announced = new Map<number, Map<string, Announced>>();

  /** @param onFolder called when the guest must ask again for the names of a folder */
  constructor(tell: TellNews, inodes: Inodes, onFolder: (folder: Inode) => void) {
    this.#inodes = inodes;
    this.#onFolder = onFolder;
    this.#news = new News(
      tell,
      (happenings) => this.#describe(happenings),
      () => this.clear(),
    );
  }

  /** Takes what inotify has told: IN bits, and the name in a folder. @param inode undefined: any may have changed */
  hear(inode: Inode | undefined, mask: number, name: string): void {
    const news = this.#news;
    // Too many changes to be told one by one: whoever watches a folder looks at it.
    if (inode === undefined) for (const { node } of this.#inodes.folders()) news.hear(node, '', HAPPENED.ATTRIBUTES);
    else if (name === '') {
      if ((mask & (IN.MODIFY | IN.CLOSE_WRITE)) !== 0) news.hear(inode.node, '', HAPPENED.MODIFIED);
      if ((mask & (IN.ATTRIB | IN.MOVE_SELF)) !== 0) news.hear(inode.node, '', HAPPENED.ATTRIBUTES);
    } else if ((mask & (IN.CREATE | IN.MOVED_TO)) !== 0) news.hear(inode.node, name, HAPPENED.CREATED);
    else if ((mask & (IN.DELETE | IN.MOVED_FROM)) !== 0)
      news.hear(inode.node, name, HAPPENED.GONE, (mask & IN.ISDIR) !== 0);
    else news.hear(inode.node, name, HAPPENED.MODIFIED);
  }

  /**
   * @returns what the guest is to be told of what has happened, as the host is now: a file that came and went is
   *   nothing. Until it has been told, `at` says what its agent is told of a name.
   */
  #describe(happenings: Happening[]): FileChange[] {
    const changes: FileChange[] = [];
    const paths = new Map<Inode, string | undefined>();
    const tell = (inode: Inode, change: Omit<FileChange, 'node' | 'path'>) => {
      if (!paths.has(inode)) paths.set(inode, this.#inodes.pathOf(inode));
      const path = paths.get(inode);
      changes.push({ node: inode.node, ...(path !== undefined && { path }), ...change });
    };
    // The kernel tells nobody that a folder was removed but those that watch the folder above it.
    let isAsked = false;
    const removed = () => (isAsked ? [] : ((isAsked = true), this.#inodes.removedFolders()));
    for (const { node, name, happened, first, isFolder } of happenings) {
      const inode = this.#inodes.find(node);
      const has = (bit: number) => (happened & bit) !== 0;
      if (inode === undefined) continue;
      if (name === '') {
        if (has(HAPPENED.MODIFIED)) tell(inode, { what: 'modified' });
        if (has(HAPPENED.ATTRIBUTES)) tell(inode, { what: 'attributes' });
        continue;
      }
      const found = inode.fd === NO_FD ? undefined : this.#inodes.lookAt(inode, name);
      if (found === undefined) {
        if (first === HAPPENED.CREATED || !has(HAPPENED.GONE)) continue;
        const kind = isFolder ? S_IFDIR : S_IFREG;
        tell(inode, { name, what: 'gone', kind });
        this.#announceName(inode, name, { what: 'gone', kind });
        if (isFolder) for (const gone of removed()) tell(gone, { what: 'attributes' });
        continue;
      }
      if (has(HAPPENED.CREATED | HAPPENED.GONE) && MADE.has(found.kind)) {
        tell(inode, { name, what: 'created', kind: found.kind });
        this.#announceName(inode, name, { what: 'created' });
      }
      if (has(HAPPENED.MODIFIED)) tell(inode, { name, what: 'modified' });
    }
    return changes;
  }

  #announceName(folder: Inode, name: string, announced: Announced): void {
    const names = this.#announced.get(folder.node) ?? new Map<string, Announced>();
    this.#announced.set(folder.node, names.set(name, announced));
    // The guest may have looked at the name since it was changed: its agent's look must come here.
    this.#onFolder(folder);
  }

  /** @returns what the guest's agent is to find at a name; undefined: what is there */
  at(folder: Inode, name: string): Announced | undefined {
    return this.#announced.get(folder.node)?.get(name);
  }

  /** The guest has been told of the name. */
  end(folder: Inode, name: string): void {
    this.#announced.get(folder.node)?.delete(name);
  }

  /** @returns whether the guest is being told of names of this folder */
  isTelling(folder: Inode): boolean {
    return this.#announced.has(folder.node);
  }

  /** The guest has been told of everything so far, or is gone. */
  clear(): void {
    this.#announced.clear();
  }

  [Symbol.dispose](): void {
    this.#news[Symbol.dispose]();
  }
}
