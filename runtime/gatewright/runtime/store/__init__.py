"""Where everything durable is: schema, migrations, the database file and its one writer."""
