/** Remembers which methods each URL pattern answers, so that a wrong method gets 405 and `Allow` instead of 404. */
export class AllowedMethods {
  readonly #patterns = new Map<string, { segments: string[], methods: Set<string> }>()

  /** Patterns with wildcards or regular expressions are skipped: a 404 there is no lie. */
  add (url: string, methods: string | string[]): void {
    if (/[*(]/.test(url)) return
    const known = this.#patterns.get(url) ?? { segments: url.split('/'), methods: new Set<string>() }
    for (const method of [methods].flat()) known.methods.add(method)
    this.#patterns.set(url, known)
  }

  /** Methods that some route answers at this path, sorted; empty where the path is unknown. */
  at (path: string): string[] {
    const segments = path.replace(/(?<=.)\/$/, '').split('/')
    const methods = new Set<string>()
    for (const pattern of this.#patterns.values()) {
      if (matches(pattern.segments, segments)) for (const method of pattern.methods) methods.add(method)
    }
    return [...methods].sort()
  }
}

function matches (pattern: string[], segments: string[]): boolean {
  return pattern.length === segments.length &&
    pattern.every((part, index) => part.startsWith(':') ? segments[index] !== '' : part === segments[index])
}
