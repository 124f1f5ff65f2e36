import type { CollectionTag, Document, LineCounter, ScalarTag, YAMLMap, YAMLSeq } from 'yaml'
import { loadPeer } from '../../peers/load-peer.ts'
import { DocumentUnreadable } from '../errors.ts'
import type { Path } from './field.ts'

const FUNCTIONS = ['Sub', 'GetAtt', 'Join', 'If', 'Equals', 'Not', 'And', 'Or', 'Select', 'Split', 'FindInMap', 'Base64', 'ImportValue', 'Cidr', 'GetAZs', 'Transform']

/** A CloudFormation template in YAML, with `!Sub` and its siblings in their long form. @throws FST_BRK_DOCTOR_FILE */
export async function parseYaml (text: string, file: string): Promise<{ value: unknown, lineOf: (path: Path) => number | null }> {
  const yaml = await loadPeer('yaml', 'A template in YAML', async () => await import('yaml')).catch((err: Error) => {
    throw new DocumentUnreadable(file, err.message)
  })
  const lineCounter = new yaml.LineCounter()
  const document = yaml.parseDocument(text, { lineCounter, customTags: shortForms(yaml), logLevel: 'silent' })
  const [error] = document.errors
  // The message quotes the text, and the text may hold secrets.
  if (error !== undefined) throw new DocumentUnreadable(file, `it is not YAML (${error.code}, line ${error.linePos?.[0].line ?? '?'})`)
  return { value: document.toJS(), lineOf: (path) => lineIn(document, lineCounter, path) }
}

function lineIn (document: Document, lineCounter: LineCounter, path: Path): number | null {
  const node = document.getIn(path, true) as { range?: [number, number, number] } | undefined
  return node?.range === undefined ? null : lineCounter.linePos(node.range[0]).line
}

function shortForms (yaml: typeof import('yaml')): (ScalarTag | CollectionTag)[] {
  const wrap = (name: string, content: unknown) => {
    const map = new yaml.YAMLMap()
    map.items.push(new yaml.Pair(new yaml.Scalar(name), content))
    return map
  }
  const names = [['Ref', 'Ref'], ['Condition', 'Condition'], ...FUNCTIONS.map((name) => [name, `Fn::${name}`])] as [string, string][]
  return names.flatMap(([short, long]) => [
    { tag: `!${short}`, resolve: (text: string) => ({ [long]: text }) },
    { tag: `!${short}`, collection: 'seq' as const, resolve: (list: YAMLMap.Parsed | YAMLSeq.Parsed) => wrap(long, list) },
    { tag: `!${short}`, collection: 'map' as const, resolve: (map: YAMLMap.Parsed | YAMLSeq.Parsed) => wrap(long, map) }
  ])
}
