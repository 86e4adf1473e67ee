"""An example of a plug-in of CXR Explorer: a dataset, `lines`, and a system, `pair`."""
