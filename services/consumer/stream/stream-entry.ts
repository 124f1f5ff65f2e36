import type { Delivery } from '../source.ts'

/** A delivery from a stream, with what proves that it is still ours. */
export interface StreamDelivery extends Delivery {
  readonly id: string
}

/** One entry as Redis gives it: id and flat fields. */
export interface Entry { id: string, deliveries: number, fields: Buffer[] }

/** What the script TAKE replies. */
export type TakeReply = [taken: [id: Buffer, deliveries: number, fields: Buffer[]][], vanished: number, dueInMs: number]

export function takenEntries ([taken]: TakeReply): Entry[] {
  return taken.map(([id, deliveries, fields]) => ({ id: id.toString(), deliveries, fields }))
}

/** The reply of XREADGROUP: a list of streams in RESP2, a flattened map in RESP3. Nobody had these entries before. */
export function readEntries (reply: unknown): Entry[] {
  if (!Array.isArray(reply)) return []
  const entries = (Array.isArray(reply[0]) ? reply[0][1] : reply[1]) as [Buffer, Buffer[]][]
  return entries.map(([id, fields]) => ({ id: id.toString(), deliveries: 1, fields }))
}

/** The group that a retried entry is for; null: for all. */
export function addressee ({ fields }: Entry): string | null {
  return field(fields, 'group')?.toString() ?? null
}

export function delivery (entry: Entry): StreamDelivery {
  const { id, deliveries, fields } = entry
  return { id, deliveries, receipt: `${id}/${deliveries}`, body: field(fields, 'body') ?? foreignBody(fields) }
}

/** Whoever wrote an entry without a body meant something: it shows in the dead letter. */
function foreignBody (fields: Buffer[]): Buffer {
  const pairs = fields.flatMap((name, index) => index % 2 === 0 ? [[name.toString(), fields[index + 1]!.toString()]] : [])
  return Buffer.from(JSON.stringify(Object.fromEntries(pairs)))
}

function field (fields: Buffer[], name: string): Buffer | undefined {
  for (let index = 0; index < fields.length; index += 2) if (fields[index]!.equals(Buffer.from(name))) return fields[index + 1]
  return undefined
}
