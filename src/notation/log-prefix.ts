/**
 * What stands before a line of a log that is shown with its time and its attributes. The time always has nine digits,
 * so that columns align; attributes are encoded as in a query (moby api/server/httputils/write_log_stream.go). Pure.
 */

interface Line {
  /** RFC 3339 */
  time: string;
  attributes?: Record<string, string>;
}

/** `2026-01-02T03:04:05.000000000Z a=b ` */
export function logPrefix(show: { timestamps: boolean; details: boolean }): (line: Line) => string {
  return (line) => {
    const time = show.timestamps ? `${fixedTime(line.time)} ` : '';
    return show.details ? `${time}${details(line.attributes)} ` : time;
  };
}

function fixedTime(time: string): string {
  const [seconds = '', fraction = ''] = time.slice(0, -1).split('.');
  return `${seconds}.${fraction.padEnd(9, '0')}Z`;
}

function details(attributes: Record<string, string> = {}): string {
  return Object.entries(attributes)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map((entry) => entry.map(queryText).join('='))
    .join(',');
}

function queryText(text: string): string {
  return encodeURIComponent(text)
    .replaceAll('%20', '+')
    .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}
