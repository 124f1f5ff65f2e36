export const BYTEA = 17
export const TEXT = 25

const HEADER_BYTES = 20

/**
 * An array parameter in PostgreSQL's binary form (dimensions, null flag, element type, length, lower bound; then each element
 * with its length): the bytes go as they are, where the driver's text form would escape or double every one of them.
 */
export function binaryArray (type: number, elements: string[]): Buffer {
  const sizes = elements.map((element) => Buffer.byteLength(element))
  const array = Buffer.allocUnsafe(HEADER_BYTES + sizes.reduce((sum, size) => sum + 4 + size, 0))
  let offset = 0
  for (const field of [1, 0, type, elements.length, 1]) offset = array.writeInt32BE(field, offset)
  elements.forEach((element, index) => {
    offset = array.writeInt32BE(sizes[index]!, offset)
    offset += array.write(element, offset)
  })
  return array
}
