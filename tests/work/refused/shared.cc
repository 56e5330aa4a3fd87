// SPDX-License-Identifier: MIT

/// What must not be shared or wiped, and what the compiler has to say of it: see check.sh.

#include <mutex>
#include <string>
#include <string_view>

#include "tine/fork_mutex.h"
#include "tine/shared.h"
#include "tine/wipe_on_fork.h"

using tine::Shared;
using tine::SharedSpan;

// expect: no containers (use tine::SharedSpan)
// expect: Shared<std::
using Text = Shared<std::string>;
Text* text = new Text;

// expect: no mutexes (use std::atomic)
// expect: Shared<Locked>
struct Locked {
  std::mutex mutex;
  int number;
};
auto locked() { return Shared<Locked>{}; }

// expect: a ForkMutex belongs to the threads of one process
auto fork_mutex() { return Shared<tine::ForkMutex>{}; }

// expect: a pointer, reference or view (T) cannot be shared
// expect: SharedSpan<const char*>
auto pointers() { return SharedSpan<const char*>(3); }

// expect: a pointer, reference or view (T) cannot be shared
// expect: Shared<std::basic_string_view<char> >
auto view() { return Shared<std::string_view>{}; }

// expect: no pointers or views (share an index)
// expect: Shared<Node>
struct Node {
  int value;
  Node* next;
};
auto node() { return Shared<Node>{}; }

// expect: an array cannot be shared by itself. Use tine::SharedSpan or std::array
auto array() { return Shared<int[3]>{}; }

// expect: what is shared cannot be const
auto constant() { return Shared<const int>{}; }

// expect: what is wiped has to be nothing but its bytes
// expect: WipeOnFork<std::
auto secret() { return tine::WipeOnFork<std::string>::create(); }

// expect: a pointer would be wiped, and not what it points to
auto secret_elsewhere() { return tine::WipeOnFork<char*>::create(); }
