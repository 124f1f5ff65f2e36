import type { Letter, Side } from './letter.ts'

/** Every part given must hold. */
export interface LetterFilter {
  side?: Side | undefined
  /** The model's name, which is the ordering key, or `model_id`. */
  model?: string | undefined
  message_id?: string | undefined
  message_type?: string | undefined
  /** A part of the error's text, upper and lower case alike. */
  error?: string | undefined
}

export function matcher ({ side, model, message_id: messageId, message_type: messageType, error }: LetterFilter): (letter: Letter) => boolean {
  const part = error?.toLowerCase()
  return (letter) =>
    (side === undefined || letter.side === side) &&
    (model === undefined || letter.key === model || letter.modelId === model) &&
    (messageId === undefined || letter.messageId === messageId) &&
    (messageType === undefined || letter.messageType === messageType) &&
    (part === undefined || (letter.error ?? '').toLowerCase().includes(part))
}
