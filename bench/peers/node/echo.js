// SPDX-License-Identifier: MIT
'use strict';

// Sends every byte back as it came, in Node; pipe() sees to a peer that does not read.
const { serve } = require('./serve');

serve({}, (guest) => guest.pipe(guest));
