import { readFileSync, writeFileSync } from 'node:fs'
import type { Sysctls } from '../../core/subnet/host-check.ts'

/** The kernel's settings as files: a dot in a name is a folder, and so a dot in an interface's name (`eth0.5`) is a slash first. */
function fileOf(name: string): string {
  const conf = /^(net\.ipv4\.conf)\.(.+)\.([a-z_]+)$/.exec(name)
  const parts = conf === null ? name.split('.') : ['net', 'ipv4', 'conf', conf[2] ?? '', conf[3] ?? '']
  return `/proc/sys/${parts.join('/')}`
}

export const readSysctl: Sysctls = (name) => {
  try {
    return readFileSync(fileOf(name), 'utf8').trim()
  } catch {
    return undefined
  }
}

/** @param line as in `net.ipv4.ip_forward=1`. Error: what the system says. */
export function writeSysctl(line: string): string | undefined {
  const [name = '', value = ''] = line.split('=')
  try {
    writeFileSync(fileOf(name), value)
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown error'
  }
}
