import { open, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type SubnetReport, subnetReportSchema } from '../../core/subnet/report.ts'

/** The watcher's word to the gateway, in the state directory. */
export const REPORT_FILE = 'subnet-report.json'

/** A thousand flows of IPv6 are well under half of it. */
const REPORT_BYTES_MAX = 524_288

/** Whole or not at all: whoever reads meanwhile gets the one before. Throws what the file system says. */
export async function writeReport(stateDirectory: string, report: SubnetReport): Promise<void> {
  const file = join(stateDirectory, REPORT_FILE)
  await writeFile(`${file}.next`, `${JSON.stringify(report)}\n`, { mode: 0o644 })
  await rename(`${file}.next`, file)
}

/** Undefined where there is none, or none that can be read. */
export async function readReport(stateDirectory: string): Promise<SubnetReport | undefined> {
  try {
    const handle = await open(join(stateDirectory, REPORT_FILE), 'r')
    try {
      if ((await handle.stat()).size > REPORT_BYTES_MAX) return undefined
      const parsed = subnetReportSchema.safeParse(JSON.parse(await handle.readFile('utf8')))
      return parsed.success ? parsed.data : undefined
    } finally {
      await handle.close()
    }
  } catch {
    return undefined
  }
}
