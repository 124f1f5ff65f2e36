import createError from '@fastify/error'

const UnreadableBase = createError<[file: string, reason: string]>('FST_BRK_DOCTOR_FILE', '%s cannot be examined: %s.', 500)

/** A file that was to be examined is missing, or is not what it should be. The message shows nothing of its text. */
export class DocumentUnreadable extends UnreadableBase {
  readonly file: string
  readonly reason: string

  constructor (file: string, reason: string) {
    super(file, reason)
    this.file = file
    this.reason = reason
  }
}
