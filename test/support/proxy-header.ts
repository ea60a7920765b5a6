import { crc32c } from '../../src/core/wire/proxy-header.ts'

/** A PROXY header of version 2. @param content addresses and TLVs */
export function v2Header(command: number, family: number, content: Uint8Array): Buffer {
  const fixed = Buffer.from('0d0a0d0a000d0a515549540a00000000', 'hex')
  fixed[12] = command
  fixed[13] = family
  fixed.writeUInt16BE(content.length, 14)
  return Buffer.concat([fixed, content])
}

export function tlv(type: number, value: Uint8Array): Buffer {
  const head = Buffer.from([type, 0, 0])
  head.writeUInt16BE(value.length, 1)
  return Buffer.concat([head, value])
}

/** Fills in the four bytes of the first checksum, which have to be zeros. */
export function withChecksum(header: Buffer): Buffer {
  const at = header.indexOf(Buffer.from([3, 0, 4]), 28)
  const filled = Buffer.from(header)
  filled.writeUInt32BE(crc32c(header), at + 3)
  return filled
}

/** What a load balancer puts in front of a connection from this address. */
export function proxyLine(address: string, port = 40_000): string {
  const family = address.includes(':') ? 6 : 4
  return `PROXY TCP${family} ${address} ${family === 6 ? '2001:db8::1' : '192.0.2.1'} ${port} 443\r\n`
}
