// SPDX-License-Identifier: MIT
'use strict';

// The greeting in Node: all names that came in one piece are answered in one write.
const { serve } = require('./serve');

const NAME_LIMIT = 1024;

// Without its end, a name can still be short enough if its CR has come and its LF has not.
function isTooLong(rest) {
  return rest.length > NAME_LIMIT + 1 || (rest.length > NAME_LIMIT && !rest.endsWith('\r'));
}

// To close with input unread would reset the connection, and destroy the last answer.
function sayFarewell(guest, answers) {
  guest.removeAllListeners('data');
  guest.end(answers + 'error: name too long\r\n');
  guest.resume();
  const limit = setTimeout(() => guest.destroy(), 2000);
  guest.on('close', () => clearTimeout(limit));
}

function greet(guest) {
  let rest = '';
  guest.setEncoding('latin1'); // any bytes, one for each character
  guest.on('data', (chunk) => {
    const names = (rest + chunk).split('\r\n');
    rest = names.pop();
    let answers = '';
    for (const name of names) {
      if (name.length > NAME_LIMIT) {
        sayFarewell(guest, answers);
        return;
      }
      answers += `Hello, ${name}!\r\n`;
    }
    if (isTooLong(rest)) {
      sayFarewell(guest, answers);
    } else if (answers !== '' && !guest.write(answers)) {
      guest.pause();
    }
  });
  guest.on('drain', () => guest.resume());
}

serve({}, (guest) => {
  guest.setDefaultEncoding('latin1');
  greet(guest);
});
