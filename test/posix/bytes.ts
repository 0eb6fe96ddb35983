/** Contents as the table writes them: runs like `a*5,b`, `.` for a zero byte, `-` for nothing. */

export function bytesFromRuns(text: string): Buffer {
  if (text === '-') return Buffer.alloc(0);
  const parts: Buffer[] = [];
  for (const [, character = '', count] of text.matchAll(/(%[0-9a-f]{2}|[^,*])(?:\*(\d+))?,?/g)) {
    const byte = character === '.' ? 0 : character.length === 3 ? parseInt(character.slice(1), 16) : character.charCodeAt(0);
    parts.push(Buffer.alloc(Number(count ?? 1), byte));
  }
  return Buffer.concat(parts);
}

export function runsFromBytes(bytes: Uint8Array): string {
  if (bytes.length === 0) return '-';
  const runs: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const byte = bytes[at] as number;
    let end = at + 1;
    while (end < bytes.length && bytes[end] === byte) end += 1;
    const character = byte === 0 ? '.' : byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, '0')}`;
    runs.push(end - at > 1 ? `${character}*${String(end - at)}` : character);
    at = end;
  }
  return runs.join(',');
}
