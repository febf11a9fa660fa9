/* main.c - wires the processor: settings, the engine thread, readiness. */
#include "app.h"
#include "create_topics.h"
#include "service.h"

static bool check(void *arg, struct err *err)
{
	struct app *app = arg;

	return settings_check(&app->settings, err);
}

static bool start(void *arg, struct service *service, struct err *err)
{
	struct app *app = arg;

	app->engine = engine_start(service, &app->settings, err);
	if (!app->engine)
		return false;
	service_add_check(service, "kafka", engine_ready, app->engine);
	return true;
}

static void drain(void *arg, struct service *service)
{
	struct app *app = arg;

	(void)service;
	engine_drain(app->engine);
}

static void stop(void *arg)
{
	struct app *app = arg;

	engine_stop(app->engine);
	app->engine = NULL;
}

int main(int argc, char **argv)
{
	static struct app app;
	const struct config_part parts[] = {
		{settings_config, &app.settings},
		{events_config, &app.settings.events},
		{NULL, NULL},
	};
	static const struct service_command commands[] = {
		{"--create-topics",
		 "make the topics of TOPICS_FILE that are missing; status 1 when one "
		 "differs",
		 create_topics_command, &app.settings, false},
		{0}};
	const struct service_spec spec = {
		.name = "processor",
		.about = "counts order events into per-user totals and one-minute "
			 "windows, exactly once",
		.parts = parts,
		.commands = commands,
		.app = &app,
		.check = check,
		.servers = &app.settings.events.bootstrap,
		.start = start,
		.drain = drain,
		.stop = stop,
	};

	return service_main(&spec, argc, argv);
}
