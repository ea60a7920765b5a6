import { type IpAddress, parseIp } from './names/ip.ts'
import { err, ok, type Result } from './result.ts'

/** Where a listener binds. Port 0 takes any free port. */
export interface ListenAddress {
  readonly address: IpAddress
  readonly port: number
}

/** Reads `127.0.0.1:3128` or `[::1]:3128`. */
export function parseListenAddress(text: string): Result<ListenAddress, string> {
  const match = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+)):(0|[1-9]\d{0,4})$/i.exec(text)
  const address = match && parseIp(match[1] ?? match[2] ?? '')
  const port = Number(match?.[3])
  if (!address || port > 65535) return err(`\`${text}\` is not \`address:port\`; write \`127.0.0.1:3128\` or \`[::1]:3128\``)
  return ok({ address, port })
}

export function formatListenAddress({ address, port }: ListenAddress): string {
  return address.family === 6 ? `[${address.text}]:${port}` : `${address.text}:${port}`
}
