# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
---
module: guest_files
short_description: Put files on a guest that has no Python
description:
  - Puts files, symbolic links and the collection's own binaries on a target that needs only a shell, C(sha256sum) and root.
  - A file is written beside its place, compared with its hash, synced and renamed. No folder on the way may be one that
    others could exchange.
  - It is what the role P(seguest.pv.guest#role) installs its unit with; M(ansible.builtin.copy) does more where there is Python.
version_added: 0.1.0
author: [The seguest project (!UNKNOWN)]
options:
  files:
    description: The files, put in this order. Those that are to be gone are removed before, the last one first.
    type: list
    elements: dict
    required: true
    suboptions:
      dest:
        description: The absolute path. Folders that are missing are made.
        type: path
        required: true
      content:
        description: The text. One of V(content), V(arguments), V(module) and V(link) is required unless V(state=absent).
        type: str
      module:
        description: The module of this collection whose binary is put there; with V(arguments), the one that they are for.
        type: str
      arguments:
        description: Options of that module, put there as the file of arguments that it reads. V(src) in them is read on the controller.
        type: dict
      link:
        description: The target of a symbolic link.
        type: str
      mode:
        description: Four octal digits that let only the owner write.
        type: str
        default: "0600"
      state:
        description: Whether it is to be there.
        type: str
        choices: [present, absent]
        default: present
attributes:
  check_mode:
    support: full
    description: Can run in check mode and say what would change.
  diff_mode:
    support: full
    description: Shows mode and SHA-256 of what changes, never the content.
seealso:
  - module: seguest.pv.secret_add
"""

EXAMPLES = r"""
---
- name: Keep a request for the next boot
  seguest.pv.guest_files:
    files:
      - dest: /usr/local/libexec/seguest.pv/secret_add
        module: secret_add
        mode: "0700"
      - dest: /etc/seguest.pv/secret_add.json
        module: secret_add
        arguments:
          src: cluster_key.request
"""

RETURN = r"""
---
files:
  description: One entry for each file, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    dest:
      description: The path.
      returned: always
      type: str
    changed:
      description: Whether it was changed, or in check mode would be.
      returned: always
      type: bool
"""
