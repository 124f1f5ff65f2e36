import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'

const schema = JSON.parse(readFileSync(join(import.meta.dirname, '../../fixtures/emf.schema.json'), 'utf8'))
const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true })
const checkDocument = ajv.compile<Document>({ ...schema, $id: 'emf' })
const checkValue = ajv.compile({ $ref: 'emf#/$defs/value' })
const checkDimension = ajv.compile({ $ref: 'emf#/$defs/dimensionValue' })

interface Document {
  _aws: { CloudWatchMetrics: { Dimensions: string[][], Metrics: { Name: string }[] }[] }
  [member: string]: unknown
}

/** The limit of the specification is 1 MB since 2025 and was 256 KB before: the smaller one is right everywhere. */
const MAX_LINE_BYTES = 256 * 1024

/** What is wrong with a log line as CloudWatch reads it; nothing where it makes all its metrics. */
export function emfProblems (line: string): string[] {
  const document: unknown = JSON.parse(line)
  if (!checkDocument(document)) return checkDocument.errors!.map(({ instancePath, message }) => `${instancePath} ${message}`)
  const size = Buffer.byteLength(line) > MAX_LINE_BYTES ? ['the line is too long'] : []
  return [...size, ...document._aws.CloudWatchMetrics.flatMap(({ Dimensions, Metrics }) => [
    ...Dimensions.flat().filter((name) => !Object.hasOwn(document, name) || !checkDimension(document[name])).map((name) => `dimension ${name} has no value`),
    ...Metrics.filter(({ Name }) => !Object.hasOwn(document, Name) || !checkValue(document[Name])).map(({ Name }) => `metric ${Name} has no value`)
  ])]
}
