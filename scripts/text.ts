/** Text from elsewhere as it may go to a terminal: it must not steer it. */
export function printable (text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\u{fffd}')
}

export function asJson (document: object): string {
  return `${JSON.stringify(document, null, 2)}\n`
}

/** Writes, and returns the exit code. */
export function say (stream: NodeJS.WriteStream, text: string, exitCode: number): number {
  stream.write(text)
  return exitCode
}
