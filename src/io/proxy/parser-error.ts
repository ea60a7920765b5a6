import type { WireProblem } from '../../core/wire/request-head.ts'

/**
 * What an error of Node's HTTP parser means to the client, or undefined where the connection broke and there is nobody to tell.
 *
 * Node says 431 to everything that is too long. A target that overflowed has no end of line in what was parsed last; where the
 * client dribbles it in small pieces, that cannot be told and 431 stays.
 */
export function wireProblemOf(
  error: NodeJS.ErrnoException & { rawPacket?: Buffer; bytesParsed?: number },
): WireProblem | undefined {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return isTargetOverflow(error.rawPacket)
        ? { reason: 'target_too_long', detail: 'the request line has no end within the limit' }
        : { reason: 'head_too_large', detail: 'the head has no end within the limit' }
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return HEAD_TIMEOUT
    case 'HPE_INVALID_CHUNK_SIZE':
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return { reason: 'body_malformed', detail: 'a chunk is not validly framed' }
    default:
      if (!error.code?.startsWith('HPE_')) return undefined
      if (error.rawPacket?.[0] === TLS_HANDSHAKE)
        return { reason: 'malformed_request', detail: 'this is TLS where plain HTTP was expected' }
      return { reason: 'malformed_request', detail: `the parser says ${error.code}` }
  }
}

export const HEAD_TIMEOUT: WireProblem = { reason: 'head_timeout', detail: 'the head was not complete in time' }

const TLS_HANDSHAKE = 22
const LINE_FEED = 10

function isTargetOverflow(packet: Buffer | undefined): boolean {
  return packet !== undefined && !packet.includes(LINE_FEED) && /^[A-Z]+ /.test(packet.toString('latin1', 0, 16))
}
