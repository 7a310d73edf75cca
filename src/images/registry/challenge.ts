/**
 * Parses WWW-Authenticate: which schemes a registry asks for. The parser is pure. Source: RFC 9110 §11.6.1; the
 * parameters of Bearer are those of the distribution project's token specification (realm, service, scope).
 */

export interface Challenge {
  /** name of the scheme in lower case: `bearer`, `basic` */
  scheme: string;
  parameters: Record<string, string>;
}

/** limit of characters; Node has bounded the header already, this bounds the work on it */
const MAX_HEADER = 16 << 10;

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
const SPACE = /[ \t]*/y;

/** Parses as many well-formed challenges as there are; a malformed one ends the list. */
export function parseChallenges(header: string): Challenge[] {
  const text = header.slice(0, MAX_HEADER);
  const challenges: Challenge[] = [];
  let position = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = position;
    const match = pattern.exec(text);
    if (match) position += match[0].length;
    return match;
  };
  const skip = () => {
    take(SPACE);
    while (text[position] === ',') {
      position++;
      take(SPACE);
    }
  };
  for (;;) {
    skip();
    const name = take(TOKEN);
    if (!name) return challenges;
    take(SPACE);
    if (text[position] !== '=') {
      challenges.push({ scheme: name[0].toLowerCase(), parameters: Object.create(null) as Record<string, string> });
      continue;
    }
    const current = challenges.at(-1);
    if (!current) return challenges;
    position++;
    take(SPACE);
    const quoted = text[position] === '"' ? take(QUOTED) : null;
    const value = quoted ? quoted[1]!.replaceAll(/\\(.)/g, '$1') : take(TOKEN)?.[0];
    if (value === undefined) return challenges;
    current.parameters[name[0].toLowerCase()] ??= value;
  }
}
