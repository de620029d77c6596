"""One file a component. The file's name is the component's."""
