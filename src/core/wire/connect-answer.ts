/** What a proxy said to a CONNECT. */
export type ConnectAnswer =
  | { readonly kind: 'incomplete' }
  /** `rest` came behind the head: of a 2xx, the first bytes from inside the tunnel. */
  | { readonly kind: 'answer'; readonly status: number; readonly rest: Uint8Array }
  | { readonly kind: 'malformed'; readonly why: string }

/** As much as Node's own parser takes of a head; nothing of it but the status is used. */
export const CONNECT_ANSWER_BYTES_MAX = 16_384

const INCOMPLETE: ConnectAnswer = { kind: 'incomplete' }
const CR = 13
const LF = 10

/**
 * Reads the head of a proxy's answer piece by piece, and not a byte beyond it: what follows a 2xx is the tunnel's, whatever its fields
 * say of a body (RFC 9110 section 9.3.6). Interim answers are stepped over, within the same bound.
 */
export class ConnectAnswerReader {
  #held = new Uint8Array(0)

  push(chunk: Uint8Array): ConnectAnswer {
    const bytes = new Uint8Array(this.#held.length + chunk.length)
    bytes.set(this.#held)
    bytes.set(chunk, this.#held.length)
    this.#held = bytes
    for (;;) {
      const end = headEnd(this.#held)
      if (end === undefined || end > CONNECT_ANSWER_BYTES_MAX) return this.#unfinished()
      const status = statusOf(this.#held.subarray(0, end))
      if (status === undefined) return NOT_HTTP
      const rest = this.#held.slice(end)
      if (status >= 200) return { kind: 'answer', status, rest }
      this.#held = rest
    }
  }

  #unfinished(): ConnectAnswer {
    if (this.#held.length > CONNECT_ANSWER_BYTES_MAX) return { kind: 'malformed', why: 'its answer has no end' }
    return isStatusLineSoFar(this.#held) ? INCOMPLETE : NOT_HTTP
  }
}

const NOT_HTTP: ConnectAnswer = { kind: 'malformed', why: 'its answer is not HTTP/1' }

function headEnd(bytes: Uint8Array): number | undefined {
  for (let at = 3; at < bytes.length; at++) {
    if (bytes[at] === LF && bytes[at - 1] === CR && bytes[at - 2] === LF && bytes[at - 3] === CR) return at + 1
  }
  return undefined
}

function statusOf(head: Uint8Array): number | undefined {
  const status = /^HTTP\/1\.[01] ([1-9]\d\d)[ \r]/.exec(textOf(head.subarray(0, 16)))?.[1]
  return status === undefined ? undefined : Number(status)
}

/** A parent that speaks something else says so with its first bytes, and may then wait for ever. */
function isStatusLineSoFar(bytes: Uint8Array): boolean {
  const begin = 'HTTP/1.'
  return begin.startsWith(textOf(bytes.subarray(0, begin.length)))
}

function textOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes)
}
