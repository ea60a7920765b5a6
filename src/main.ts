#!/usr/bin/env node
import { run } from './cli/program.ts'

// Whoever reads (`sallyport entries | head`) may stop reading; that is no failure. The audit log writes by itself.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
}

process.exitCode = await run(process.argv.slice(2), process)
