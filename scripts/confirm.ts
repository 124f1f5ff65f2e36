import { createInterface } from 'node:readline/promises'

/**
 * Asks on standard error, so that standard output stays a document. The signal ends the question, and so does the end of the input.
 * @returns whether the answer was yes
 */
export async function confirm (question: string, signal: AbortSignal): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  const gone = new AbortController()
  // In a terminal, readline takes Ctrl-C for itself and closes.
  lines.once('close', () => gone.abort())
  try {
    const reply = await lines.question(`${question} [y/N] `, { signal: AbortSignal.any([signal, gone.signal]) })
    return /^y(es)?$/i.test(reply.trim())
  } catch {
    process.stderr.write('\n')
    return false
  } finally {
    lines.close()
  }
}
