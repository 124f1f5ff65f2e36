import { createHash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { extname, join } from 'node:path'

export interface Asset {
  url: string
  type: string
  body: Buffer
  etag: string
  cacheControl: string
}

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml'
}

/** Our modules fit together only as a whole: browsers ask each time, and get 304 where nothing changed. */
const ALWAYS_ASK = 'no-cache'
const FOR_A_DAY = 'public, max-age=86400'

/** Reads the page's files and those of its chart library, once. */
export function readAssets (): Asset[] {
  const folder = join(import.meta.dirname, 'page')
  const own = readdirSync(folder).map((name) =>
    asset(name === 'page.html' ? '/ops' : `/ops/${name}`, extname(name), readFileSync(join(folder, name)), ALWAYS_ASK))
  return [...own, ...chartLibrary()]
}

/** Of the published files only this one is minified. It defines a variable; a module has to export it. */
function chartLibrary (): Asset[] {
  const { resolve } = createRequire(import.meta.url)
  const script = readFileSync(resolve('uplot/dist/uPlot.iife.min.js'))
  return [
    asset('/ops/uplot.js', '.js', Buffer.concat([script, Buffer.from('\nexport default uPlot\n')]), FOR_A_DAY),
    asset('/ops/uplot.css', '.css', readFileSync(resolve('uplot/dist/uPlot.min.css')), FOR_A_DAY)
  ]
}

function asset (url: string, extension: string, body: Buffer, cacheControl: string): Asset {
  const type = TYPES[extension]
  if (type === undefined) throw new Error(`no content type is known for ${url}`)
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
  return { url, type, body, etag, cacheControl }
}

/** Whether the reader has these bytes already. */
export function isCurrent (ifNoneMatch: string | undefined, etag: string): boolean {
  const tags = ifNoneMatch?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? []
  return tags.includes(etag) || tags.includes('*')
}
