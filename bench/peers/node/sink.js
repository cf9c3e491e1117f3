// SPDX-License-Identifier: MIT
'use strict';

// Drops what it reads and, at the peer's end, says how many bytes there were; in Node.
const { serve } = require('./serve');

serve({ allowHalfOpen: true }, (guest) => {
  let count = 0;
  guest.on('data', (chunk) => { count += chunk.length; });
  guest.on('end', () => guest.end(`${count}\r\n`));
});
