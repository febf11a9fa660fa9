/* app.h - struct app: everything the processor consists of. */
#ifndef PROCESSOR_APP_H
#define PROCESSOR_APP_H

#include "engine.h"
#include "settings.h"

struct app {
	struct settings settings;
	struct engine *engine; /* NULL before start */
};

#endif
