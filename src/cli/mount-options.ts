/** Splits the argument of -o at its commas. A comma inside double quotes belongs to the value; empty words vanish. */
export function splitOptions(text: string): string[] {
  const words = text.match(/(?:"[^"]*"?|[^,"])+/g) ?? [];
  return words.filter((word) => word.trim() !== '');
}
